#include "binding/captive.h"

#include <sys/socket.h>

#include "binding/convert.h"
#include "binding/promise.h"
#include "core/network/captive.h"

namespace caisson {

namespace {

std::vector<OpenTo> open_of(const Napi::Value& value) {
  std::vector<OpenTo> list;
  if (!value.IsArray()) return list;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    auto object = Napi::Value(array[i]).As<Napi::Object>();
    list.push_back({parse_address(text(object.Get("network"))), static_cast<uint16_t>(number(object.Get("first"))),
                    static_cast<uint16_t>(number(object.Get("last")))});
  }
  return list;
}

// ({ routes, rules, namesUdp, namesTcp, streams4, streams6 }, { own4, own6, open }): whether IPv6 is captured. Takes over
// `routes` and `rules`.
Napi::Value capture_namespace(const Napi::CallbackInfo& info) {
  auto fds = info[0].As<Napi::Object>();
  auto fd = [&](const char* name) { return static_cast<int>(number(fds.Get(name))); };
  auto sockets = std::make_shared<CaptiveSockets>();
  *sockets = {Fd(fd("routes")), Fd(fd("rules")), fd("namesUdp"), fd("namesTcp"), fd("streams4"), fd("streams6")};
  auto given = info[1].As<Napi::Object>();
  CaptiveSettings settings = {parse_address(text(given.Get("own4"))), parse_address(text(given.Get("own6"))),
                              !given.Get("open").IsArray(), open_of(given.Get("open"))};
  return promise(info.Env(), Threads::quick(),
                 [sockets, settings] { return set_up_captive(std::move(*sockets), settings); });
}

// libuv makes each datagram socket one whose port others may share (SO_REUSEADDR): a program inside could take it over.
// Nothing, or a failure.
Napi::Value keep_port(const Napi::CallbackInfo& info) {
  int off = 0, fd = static_cast<int>(number(info[0]));
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof off) == 0) return info.Env().Undefined();
  return to_object(info.Env(), failed("egress", "setsockopt", "SO_REUSEADDR"));
}

}  // namespace

void export_captive(Napi::Object network) {
  Napi::Env env = network.Env();
  network.Set("capture", Napi::Function::New(env, capture_namespace, "capture"));
  network.Set("keepPort", Napi::Function::New(env, keep_port, "keepPort"));
}

}  // namespace caisson

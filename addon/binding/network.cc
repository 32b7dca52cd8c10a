#include "binding/network.h"

#include "binding/captive.h"
#include "binding/convert.h"
#include "binding/passage.h"
#include "binding/promise.h"
#include "core/netns.h"
#include "core/network/firewall.h"
#include "core/network/place.h"
#include "core/network/publisher.h"
#include "core/network/resolver.h"
#include "core/network/wiring.h"

namespace caisson {

// Found by promise() through the types of their arguments; hence a type of ours around a list of strings.
struct Names {
  std::vector<std::string> list;
};

static Napi::Value to_value(Napi::Env env, Names& names) {
  auto array = Napi::Array::New(env, names.list.size());
  for (uint32_t i = 0; i < names.list.size(); i++) array[i] = Napi::String::New(env, names.list[i]);
  return array;
}

static Napi::Value to_value(Napi::Env env, std::vector<Taken>& list) {
  auto array = Napi::Array::New(env, list.size());
  for (uint32_t i = 0; i < list.size(); i++) {
    auto object = Napi::Object::New(env);
    object.Set("network", list[i].network);
    object.Set("device", list[i].device);
    array[i] = object;
  }
  return array;
}

static Napi::Value to_value(Napi::Env env, std::shared_ptr<Publication>& publication) {
  auto object = Napi::Object::New(env);
  object.Set("port", publication->port);
  object.Set("handle", Napi::External<std::shared_ptr<Publication>>::New(
                           env, new std::shared_ptr<Publication>(publication),
                           [](Napi::Env, std::shared_ptr<Publication>* held) {
                             Publication::end(*held);
                             delete held;
                           }));
  return object;
}

// A namespace that was made, and the name server in it.
struct Wired {
  Fd fresh;
  std::shared_ptr<Resolver> resolver;
};

static Napi::Value to_value(Napi::Env env, Wired& wired) {
  auto object = Napi::Object::New(env);
  object.Set("fd", wired.fresh.release());
  if (wired.resolver)
    object.Set("resolver", Napi::External<std::shared_ptr<Resolver>>::New(
                               env, new std::shared_ptr<Resolver>(wired.resolver),
                               [](Napi::Env, std::shared_ptr<Resolver>* held) {
                                 (*held)->end();
                                 delete held;
                               }));
  return object;
}

namespace {

constexpr uint16_t DNS_PORT = 53;

Result<Names> named(Result<std::vector<std::string>> list) {
  if (!list) return list.failure();
  return Names{std::move(*list)};
}

template <typename T, typename Convert>
std::vector<T> list_of(const Napi::Value& value, Convert convert) {
  std::vector<T> list;
  if (!value.IsArray()) return list;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) list.push_back(convert(Napi::Value(array[i])));
  return list;
}

std::vector<Address> addresses(const Napi::Value& value) {
  return list_of<Address>(value, [](const Napi::Value& each) { return parse_address(text(each)); });
}

Bridge bridge_of(const Napi::Value& value) {
  auto object = value.As<Napi::Object>();
  return {text(object.Get("name")), text_or(object, "mac"), static_cast<uint32_t>(number_or(object, "mtu", 0)),
          addresses(object.Get("addresses"))};
}

Wire wire_of(const Napi::Value& value) {
  auto object = value.As<Napi::Object>();
  Wire wire;
  wire.pair = {text(object.Get("name")), text(object.Get("bridge")), text(object.Get("inside")), text(object.Get("mac")),
               text_or(object, "portMac"), static_cast<uint32_t>(number_or(object, "mtu", 0)), truth(object, "bigTcp")};
  wire.addresses = addresses(object.Get("addresses"));
  wire.gateways = addresses(object.Get("gateways"));
  return wire;
}

FirewallChange change_of(const Napi::Value& value) {
  auto object = value.As<Napi::Object>();
  FirewallChange change;
  change.networks = list_of<NetworkRule>(object.Get("networks"), [](const Napi::Value& each) {
    auto rule = each.As<Napi::Object>();
    return NetworkRule{text(rule.Get("bridge")), truth(rule, "outward"), truth(rule, "metadata")};
  });
  change.ports = list_of<PortRule>(object.Get("ports"), [](const Napi::Value& each) {
    auto rule = each.As<Napi::Object>();
    return PortRule{text(rule.Get("name")), text(rule.Get("mac")), text(rule.Get("bridge")), addresses(rule.Get("addresses"))};
  });
  change.published = list_of<PublishedRule>(object.Get("published"), [](const Napi::Value& each) {
    auto rule = each.As<Napi::Object>();
    PublishedRule published;
    published.protocol = text(rule.Get("protocol")) == "udp" ? IPPROTO_UDP : IPPROTO_TCP;
    if (std::string address = text_or(rule, "address"); !address.empty()) published.address = parse_address(address);
    published.port = static_cast<uint16_t>(number(rule.Get("port")));
    published.to = parse_address(text(rule.Get("to")));
    published.to_port = static_cast<uint16_t>(number(rule.Get("toPort")));
    return published;
  });
  change.opened = texts(object.Get("opened"));
  return change;
}

// What the functions of one object are about.
Place& place_of(const Napi::CallbackInfo& info) { return *static_cast<Place*>(info.Data()); }

template <typename Work>
Napi::Value with_routing(const Napi::CallbackInfo& info, Place& place, Work work) {
  return promise(info.Env(), Threads::quick(), [&place, work = std::move(work)]() -> decltype(work(std::declval<Netlink&>())) {
    auto socket = place.netlink(NETLINK_ROUTE);
    if (!socket) return socket.failure();
    return work(*socket);
  });
}

Napi::Value make_bridge_now(const Napi::CallbackInfo& info) {
  return with_routing(info, place_of(info), [bridge = bridge_of(info[0])](Netlink& socket) { return make_bridge(socket, bridge); });
}

Napi::Value remove_device(const Napi::CallbackInfo& info) {
  return with_routing(info, place_of(info), [name = text(info[0])](Netlink& socket) { return remove_link(socket, name); });
}

// Of the host, wherever networks are.
Napi::Value list_taken(const Napi::CallbackInfo& info) {
  return with_routing(info, Place::host(), [](Netlink& socket) { return taken_networks(socket); });
}

Napi::Value list_uplinks(const Napi::CallbackInfo& info) {
  return with_routing(info, Place::host(), [](Netlink& socket) { return named(uplinks(socket)); });
}

// (change, add)
Napi::Value change_firewall(const Napi::CallbackInfo& info) {
  return promise(info.Env(), Threads::quick(), [&firewall = place_of(info).firewall(), change = change_of(info[0]), add = info[1].ToBoolean().Value()] {
    return add ? firewall.add(change) : firewall.remove(change);
  });
}

Napi::Value list_dropping(const Napi::CallbackInfo& info) {
  return promise(info.Env(), Threads::quick(), [&place = place_of(info)] { return named(dropping_chains(place)); });
}

std::optional<ResolverSettings> resolver_settings(const Napi::Value& value) {
  if (!value.IsObject()) return std::nullopt;
  auto object = value.As<Napi::Object>();
  ResolverSettings settings;
  settings.networks = texts(object.Get("networks"));
  auto hosts = object.Get("hosts").As<Napi::Object>();
  for (const std::string& name : texts(hosts.GetPropertyNames())) settings.hosts[name] = addresses(hosts.Get(name));
  for (const Address& address : addresses(object.Get("servers"))) settings.servers.emplace_back(address, DNS_PORT);
  return settings;
}

// (wires, descriptor of a namespace or -1 for a new one, settings of a resolver or undefined): { fd, resolver }
Napi::Value connect_namespace(const Napi::CallbackInfo& info) {
  auto wires = list_of<Wire>(info[0], wire_of);
  int netns = static_cast<int>(number(info[1]));
  auto settings = resolver_settings(info[2]);
  return promise(info.Env(), Threads::quick(), [&place = place_of(info), wires = std::move(wires), netns, settings]() -> Result<Wired> {
    Wired wired;
    if (netns < 0) {
      auto taken = take_network_namespace();
      if (!taken) return taken.failure();
      wired.fresh = std::move(*taken);
    }
    ResolverSockets sockets;
    auto done = wire(place, netns < 0 ? wired.fresh.get() : netns, wires, settings ? &sockets : nullptr);
    if (!done) return done.failure();
    if (settings) wired.resolver = Resolver::start(std::move(sockets), *settings);
    return wired;
  });
}

void change_resolver(const Napi::CallbackInfo& info) {
  (*info[0].As<Napi::External<std::shared_ptr<Resolver>>>().Data())->change(*resolver_settings(info[1]));
}

void end_resolver(const Napi::CallbackInfo& info) {
  (*info[0].As<Napi::External<std::shared_ptr<Resolver>>>().Data())->end();
}

using Published = std::shared_ptr<Publication>;

// ({ protocol, addresses, port, to, toPort }): { handle, port }
Napi::Value publish_port(const Napi::CallbackInfo& info) {
  auto object = info[0].As<Napi::Object>();
  Publishing publishing;
  publishing.type = text(object.Get("protocol")) == "udp" ? SOCK_DGRAM : SOCK_STREAM;
  publishing.addresses = addresses(object.Get("addresses"));
  publishing.port = static_cast<uint16_t>(number(object.Get("port")));
  publishing.to = parse_address(text(object.Get("to")));
  publishing.to_port = static_cast<uint16_t>(number(object.Get("toPort")));
  return promise(info.Env(), Threads::quick(), [&place = place_of(info), publishing] { return publish(place, publishing); });
}

void unpublish_port(const Napi::CallbackInfo& info) { Publication::end(*info[0].As<Napi::External<Published>>().Data()); }

Napi::Object network_of(Napi::Env env, Place& place);

std::shared_ptr<Agent> agent_of(Napi::Value value) {
  return *value.As<Napi::External<std::shared_ptr<Agent>>>().Data();
}

// (agent): the same functions for networks that are where that agent is.
Napi::Value beside(const Napi::CallbackInfo& info) {
  return network_of(info.Env(), Place::beside(agent_of(info[0])));
}

// Off the main thread: a call to the agent before may be under way.
Napi::Value renew(const Napi::CallbackInfo& info) {
  return promise(info.Env(), Threads::slow(), [place = static_cast<Place*>(info.Data()), agent = agent_of(info[0])]() -> Result<> {
    place->renew(agent);
    return Nothing{};
  });
}

Napi::Object network_of(Napi::Env env, Place& place) {
  auto network = Napi::Object::New(env);
  auto set = [&](const char* name, auto function) { network.Set(name, Napi::Function::New(env, function, name, &place)); };
  set("makeBridge", make_bridge_now);
  set("removeDevice", remove_device);
  set("taken", list_taken);
  set("uplinks", list_uplinks);
  set("firewall", change_firewall);
  set("droppingChains", list_dropping);
  set("wire", connect_namespace);
  set("publish", publish_port);
  set("unpublish", unpublish_port);
  set("changeResolver", change_resolver);
  set("endResolver", end_resolver);
  set("beside", beside);
  set("renew", renew);
  export_captive(network);
  export_passages(network);
  return network;
}

}  // namespace

void export_network(Napi::Object exports) { exports.Set("network", network_of(exports.Env(), Place::host())); }

}  // namespace caisson

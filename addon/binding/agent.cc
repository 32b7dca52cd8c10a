#include "binding/agent.h"

#include "binding/process.h"
#include "binding/promise.h"
#include "core/agent.h"
#include "core/descriptor.h"

namespace caisson {

// Found by promise() through the types of their arguments.
static Napi::Value to_value(Napi::Env env, AgentAnswer& answer) {
  auto object = Napi::Object::New(env);
  object.Set("fd", answer.fd.release());
  auto numbers = Napi::Array::New(env, answer.number.size());
  // Above 2^53 the low bits are lost: only times in nanoseconds are that large.
  for (uint32_t i = 0; i < answer.number.size(); i++)
    numbers[i] = Napi::Number::New(env, static_cast<double>(answer.number[i]));
  object.Set("numbers", numbers);
  object.Set("text", answer.text);
  return object;
}

static Napi::Value to_value(Napi::Env env, std::vector<DirectoryEntry>& entries) {
  auto array = Napi::Array::New(env, entries.size() * 2);
  for (uint32_t i = 0; i < entries.size(); i++) {
    array[i * 2] = Napi::String::New(env, entries[i].name);
    array[i * 2 + 1] = Napi::Number::New(env, entries[i].type);
  }
  return array;
}

namespace {

using Handle = std::shared_ptr<Agent>;

// (process, callback(agent | undefined)): for a process that waits in AGENT.
void agent(const Napi::CallbackInfo& info) {
  auto mailbox = Mailbox::of(info.Env());
  auto* callback = new Napi::FunctionReference(Napi::Persistent(info[1].As<Napi::Function>()));
  process_of(info[0])->take_control([mailbox, callback](Fd fd) {
    auto taken = std::make_shared<Fd>(std::move(fd));
    mailbox->post([callback, taken](Napi::Env env) {
      Napi::Value result = env.Undefined();
      if (*taken)
        result = Napi::External<Handle>::New(env, new Handle(std::make_shared<Agent>(std::move(*taken))),
                                             [](Napi::Env, Handle* handle) { delete handle; });
      callback->Value().Call({result});
      delete callback;
    });
  });
}

// (agent, operation, numbers, first path, second path)
Napi::Value call(const Napi::CallbackInfo& info) {
  Handle handle = *info[0].As<Napi::External<Handle>>().Data();
  std::array<uint64_t, 3> numbers{};
  auto list = info[2].As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length() && i < numbers.size(); i++)
    numbers[i] = static_cast<uint64_t>(number(list[i]));
  auto op = static_cast<agent_op>(number(info[1]));
  return promise(info.Env(), Threads::slow(),
                 [handle, op, numbers, first = text(info[3]), second = text(info[4])] {
                   return handle->call(op, numbers, first, second);
                 });
}

void close_agent(const Napi::CallbackInfo& info) { (*info[0].As<Napi::External<Handle>>().Data())->close(); }

// (fd, most entries)
Napi::Value directory(const Napi::CallbackInfo& info) {
  auto fd = std::make_shared<Fd>(static_cast<int>(number(info[0])));
  auto most = static_cast<size_t>(number(info[1]));
  return promise(info.Env(), Threads::slow(), [fd, most] { return read_directory(std::move(*fd), most); });
}

// (fd, address, port, timeout in ms)
Napi::Value connect(const Napi::CallbackInfo& info) {
  auto fd = std::make_shared<Fd>(static_cast<int>(number(info[0])));
  int port = static_cast<int>(number(info[2])), timeout = static_cast<int>(number(info[3]));
  return promise(info.Env(), Threads::slow(), [fd, address = text(info[1]), port, timeout] {
    return connect_socket(std::move(*fd), address, port, timeout);
  });
}

}  // namespace

void export_agent(Napi::Object exports) {
  Napi::Env env = exports.Env();
  auto ops = Napi::Object::New(env);
#define SET_OP(name) ops.Set(#name, Napi::Number::New(env, AGENT_##name));
  AGENT_OPS(SET_OP)
#undef SET_OP
  exports.Set("agentOps", ops);
  exports.Set("agent", Napi::Function::New(env, agent, "agent"));
  exports.Set("agentCall", Napi::Function::New(env, call, "agentCall"));
  exports.Set("agentClose", Napi::Function::New(env, close_agent, "agentClose"));
  exports.Set("readDirectory", Napi::Function::New(env, directory, "readDirectory"));
  exports.Set("connect", Napi::Function::New(env, connect, "connect"));
}

}  // namespace caisson

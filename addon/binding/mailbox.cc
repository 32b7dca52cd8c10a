#include "binding/mailbox.h"

#include <sched.h>

#include <utility>

namespace caisson {

namespace {

struct Box {
  std::shared_ptr<Mailbox> mailbox;
};

}  // namespace

std::shared_ptr<Mailbox> Mailbox::of(Napi::Env env) {
  auto* box = env.GetInstanceData<Box>();
  if (box == nullptr) {
    box = new Box{std::shared_ptr<Mailbox>(new Mailbox(env))};
    env.SetInstanceData(box);
    napi_add_env_cleanup_hook(env, [](void* data) { static_cast<Mailbox*>(data)->close(); }, box->mailbox.get());
  }
  return box->mailbox;
}

Mailbox::Mailbox(Napi::Env env) : env_(env) {
  napi_value name;
  napi_create_string_utf8(env, "caisson", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, deliver, &function_);
  napi_unref_threadsafe_function(env, function_);
}

void Mailbox::post(Letter letter) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    letters_.push_back(std::move(letter));
    if (letters_.size() > 1) return;
    waking_++;
  }
  // Without the lock: who is woken by this wants it next.
  napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
  waking_--;
}

void Mailbox::deliver(napi_env env, napi_value, void* context, void*) {
  auto* mailbox = static_cast<Mailbox*>(context);
  std::vector<Letter> letters;
  {
    std::lock_guard lock(mailbox->mutex_);
    letters.swap(mailbox->letters_);
  }
  if (env == nullptr) return;
  for (Letter& letter : letters) {
    Napi::HandleScope scope(env);
    try {
      letter(Napi::Env(env));
    } catch (const Napi::Error&) {
      // The environment is being torn down and takes no JavaScript any more: nobody is left to be told.
    }
  }
}

void Mailbox::hold() {
  if (held_++ == 0 && !closed_) napi_ref_threadsafe_function(env_, function_);
}

void Mailbox::release() {
  if (--held_ == 0 && !closed_) napi_unref_threadsafe_function(env_, function_);
}

void Mailbox::at_end(std::weak_ptr<void> alive, std::function<void()> action) {
  // Entries of what has ended go at most as often as new ones come.
  for (int i = 0; i < 2 && !endings_.empty() && endings_.front().first.expired(); i++) endings_.pop_front();
  endings_.emplace_back(std::move(alive), std::move(action));
}

void Mailbox::close() {
  for (auto& [alive, action] : endings_)
    if (!alive.expired()) action();
  endings_.clear();
  napi_threadsafe_function function;
  {
    std::lock_guard lock(mutex_);
    function = std::exchange(closed_, true) ? nullptr : function_;
    letters_.clear();
  }
  while (waking_ > 0) sched_yield();
  if (function != nullptr) napi_release_threadsafe_function(function, napi_tsfn_abort);
}

}  // namespace caisson

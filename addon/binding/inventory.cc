#include "binding/inventory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <mutex>

#include "binding/convert.h"
#include "binding/running.h"
#include "core/inventory/archive.h"
#include "core/inventory/digests.h"
#include "core/layer/location.h"

namespace caisson {

namespace {

// An inventory that JavaScript holds. Work on it is done by one thread at a time; what JavaScript itself reads does not
// change any more.
struct Held {
  std::optional<Inventory> inventory;
  DigestBook book;
  std::mutex mutex;

  explicit Held(std::string file) : book(std::move(file)) {}
};

std::shared_ptr<Held> held(const Napi::Value& value) { return *value.As<Napi::External<std::shared_ptr<Held>>>().Data(); }

std::vector<uint32_t> numbers(const Napi::Value& value) {
  std::vector<uint32_t> result;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) result.push_back(Napi::Value(array[i]).ToNumber().Uint32Value());
  return result;
}

// The parts of a pattern as numbers: a kind, and what belongs to it (lib/build/dockerfile/glob.ts).
std::vector<GlobPart> glob_parts(const Napi::Value& value) {
  std::vector<GlobPart> parts;
  const std::vector<uint32_t> given = numbers(value);
  size_t at = 0;
  auto next = [&] { return at < given.size() ? given[at++] : 0; };
  while (at < given.size()) {
    GlobPart part{static_cast<GlobPart::Kind>(next())};
    if (part.kind == GlobPart::Kind::Character) part.low = next();
    if (part.kind == GlobPart::Kind::Class) {
      part.negated = next() != 0;
      for (uint32_t count = next(); count > 0; count--) {
        const char32_t low = next(), high = next();
        part.ranges.emplace_back(low, high);
      }
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

std::vector<IgnorePattern> ignore_patterns(const Napi::Value& value) {
  std::vector<IgnorePattern> patterns;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    auto given = Napi::Value(array[i]).As<Napi::Object>();
    IgnorePattern pattern;
    pattern.exception = truth(given, "exception");
    pattern.stem = text_or(given, "stem");
    pattern.text = text_or(given, "text");
    const std::string kind = text_or(given, "kind");
    pattern.kind = kind == "exact"    ? IgnorePattern::Kind::Exact
                   : kind == "suffix" ? IgnorePattern::Kind::Suffix
                   : kind == "prefix" ? IgnorePattern::Kind::Prefix
                                      : IgnorePattern::Kind::Glob;
    if (pattern.kind == IgnorePattern::Kind::Glob) pattern.parts = glob_parts(given.Get("parts"));
    patterns.push_back(std::move(pattern));
  }
  return patterns;
}

// (root, patterns, book): { handle, done }, and `done` is what the others take.
Napi::Value take(const Napi::CallbackInfo& info) {
  auto state = std::make_shared<Held>(text(info[2]));
  return task<int>(
      info.Env(),
      [state, root = text(info[0]), patterns = IgnorePatterns(ignore_patterns(info[1]))](
          int&, const std::atomic<bool>& cancelled) { state->inventory = Inventory::take(root, patterns, cancelled); },
      [state](Napi::Env env, const int&) -> Napi::Value {
        return Napi::External<std::shared_ptr<Held>>::New(
            env, new std::shared_ptr<Held>(state), [](Napi::Env, std::shared_ptr<Held>* data) { delete data; });
      });
}

const char* kind_of(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFIFO:
      return "fifo";
    case S_IFCHR:
      return "character";
    case S_IFBLK:
      return "block";
    default:
      return "file";
  }
}

Napi::Object describe(Napi::Env env, const InventoryItem& item, uint32_t index) {
  constexpr int64_t NANOSECONDS = 1'000'000'000;
  auto object = Napi::Object::New(env);
  object.Set("item", index);
  object.Set("name", item.name);
  object.Set("kind", kind_of(item.mode));
  object.Set("mode", item.mode & 07777);
  object.Set("size", S_ISREG(item.mode) ? static_cast<double>(item.identity.size) : 0.0);
  const int64_t part = item.identity.modified % NANOSECONDS;
  object.Set("mtime", static_cast<double>(item.identity.modified / NANOSECONDS - (part < 0 ? 1 : 0)));
  if (S_ISLNK(item.mode)) object.Set("target", item.target);
  if (S_ISCHR(item.mode) || S_ISBLK(item.mode)) {
    object.Set("major", major(item.device));
    object.Set("minor", minor(item.device));
  }
  return object;
}

// (inventory, item): that one.
Napi::Value item(const Napi::CallbackInfo& info) {
  const uint32_t index = info[1].ToNumber().Uint32Value();
  return describe(info.Env(), held(info[0])->inventory->item(index), index);
}

// (inventory, item): those in that directory, by name.
Napi::Value children(const Napi::CallbackInfo& info) {
  const Inventory& inventory = *held(info[0])->inventory;
  const InventoryItem& item = inventory.item(info[1].ToNumber().Uint32Value());
  auto array = Napi::Array::New(info.Env(), item.count);
  for (uint32_t i = 0; i < item.count; i++)
    array[i] = describe(info.Env(), inventory.item(item.first + i), item.first + i);
  return array;
}

// (inventory, items): { handle, done }.
Napi::Value digest(const Napi::CallbackInfo& info) {
  return task<std::vector<std::string>>(
      info.Env(),
      [state = held(info[0]), items = numbers(info[1])](std::vector<std::string>& result,
                                                        const std::atomic<bool>& cancelled) {
        std::lock_guard lock(state->mutex);
        result = digest_items(*state->inventory, items, state->book, cancelled);
      },
      [](Napi::Env env, const std::vector<std::string>& digests) -> Napi::Value {
        auto array = Napi::Array::New(env, digests.size());
        for (uint32_t i = 0; i < digests.size(); i++) array[i] = Napi::String::New(env, digests[i]);
        return array;
      });
}

std::vector<ArchiveMember> archive_members(const Napi::Value& value) {
  std::vector<ArchiveMember> members;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    auto given = Napi::Value(array[i]).As<Napi::Object>();
    ArchiveMember member;
    member.name = text_or(given, "path");
    member.uid = static_cast<uint32_t>(number_or(given, "uid", 0));
    member.gid = static_cast<uint32_t>(number_or(given, "gid", 0));
    member.mtime = static_cast<int64_t>(number_or(given, "mtime", 0));
    member.whole = truth(given, "whole");
    if (given.Has("mode")) member.mode = static_cast<uint32_t>(number(given.Get("mode")));
    if (given.Has("item")) member.item = static_cast<uint32_t>(number(given.Get("item")));
    members.push_back(std::move(member));
  }
  return members;
}

// (inventory, members, latest or undefined, fd): { handle, done }. The descriptor is duplicated, and the duplicate closed
// at the end.
Napi::Value archive(const Napi::CallbackInfo& info) {
  struct State {
    std::shared_ptr<Held> held;
    InventoryArchive archive;
    FileSink sink;
    State(std::shared_ptr<Held> given, std::vector<ArchiveMember> members, std::optional<int64_t> latest, Fd fd)
        : held(std::move(given)), archive(*held->inventory, std::move(members), latest), sink(std::move(fd)) {}
  };
  std::optional<int64_t> latest;
  if (info[2].IsNumber()) latest = info[2].ToNumber().Int64Value();
  auto state =
      std::make_shared<State>(held(info[0]), archive_members(info[1]), latest, std::move(location(info[3]).fd));
  return task<ArchiveResult>(
      info.Env(),
      [state](ArchiveResult& result, const std::atomic<bool>&) {
        std::lock_guard lock(state->held->mutex);
        result = state->archive.run(state->sink);
        state->sink.close();
      },
      [](Napi::Env env, const ArchiveResult& result) -> Napi::Value {
        auto object = Napi::Object::New(env);
        object.Set("digest", result.digest);
        object.Set("size", static_cast<double>(result.size));
        object.Set("entries", static_cast<double>(result.entries));
        return object;
      },
      [state] { state->archive.cancel(); });
}

// (inventory, item, fd): { handle, done }. The bytes of one file, to a descriptor as above.
Napi::Value copy(const Napi::CallbackInfo& info) {
  struct State {
    std::shared_ptr<Held> held;
    FileSink sink;
    State(std::shared_ptr<Held> given, Fd fd) : held(std::move(given)), sink(std::move(fd)) {}
  };
  auto state = std::make_shared<State>(held(info[0]), std::move(location(info[2]).fd));
  return task<int>(
      info.Env(),
      [state, index = info[1].ToNumber().Uint32Value()](int&, const std::atomic<bool>& cancelled) {
        std::lock_guard lock(state->held->mutex);
        copy_item(*state->held->inventory, index, UINT64_MAX,
                  [&](const uint8_t* data, size_t size) { state->sink.write(data, size); }, cancelled);
        state->sink.close();
      },
      [](Napi::Env env, const int&) -> Napi::Value { return env.Undefined(); }, [state] { state->sink.stop(); });
}

// (inventory, item, most): { handle, done }. The first bytes of one file, a character for each.
Napi::Value begin(const Napi::CallbackInfo& info) {
  return task<std::string>(
      info.Env(),
      [state = held(info[0]), index = info[1].ToNumber().Uint32Value(),
       most = info[2].ToNumber().Uint32Value()](std::string& result, const std::atomic<bool>& cancelled) {
        std::lock_guard lock(state->mutex);
        copy_item(*state->inventory, index, most,
                  [&](const uint8_t* data, size_t size) { result.append(reinterpret_cast<const char*>(data), size); },
                  cancelled);
      },
      [](Napi::Env env, const std::string& bytes) { return to_bytes(env, bytes); });
}

// (inventory): the bytes that were kept of it are not needed any more.
Napi::Value forget(const Napi::CallbackInfo& info) {
  return task<int>(
      info.Env(),
      [state = held(info[0])](int&, const std::atomic<bool>&) {
        std::lock_guard lock(state->mutex);
        state->inventory->forget_bytes();
      },
      [](Napi::Env env, const int&) -> Napi::Value { return env.Undefined(); });
}

}  // namespace

void export_inventory(Napi::Object exports) {
  Napi::Env env = exports.Env();
  auto inventory = Napi::Object::New(env);
  inventory.Set("take", Napi::Function::New(env, take, "take"));
  inventory.Set("item", Napi::Function::New(env, item, "item"));
  inventory.Set("children", Napi::Function::New(env, children, "children"));
  inventory.Set("digest", Napi::Function::New(env, digest, "digest"));
  inventory.Set("archive", Napi::Function::New(env, archive, "archive"));
  inventory.Set("copy", Napi::Function::New(env, copy, "copy"));
  inventory.Set("begin", Napi::Function::New(env, begin, "begin"));
  inventory.Set("forget", Napi::Function::New(env, forget, "forget"));
  exports.Set("inventory", inventory);
}

}  // namespace caisson

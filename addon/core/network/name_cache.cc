#include "core/network/name_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>

namespace caisson {

namespace {

// A program may ask for any name: more than there are containers need not be kept.
constexpr size_t ENTRIES_MAX = 1024;
// Whoever moves a directory far above changes what no watch sees.
constexpr auto LIFETIME = std::chrono::seconds(1);
constexpr uint32_t CHANGES = IN_CREATE | IN_DELETE | IN_MOVE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr uint32_t LOSSES = IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

}  // namespace

NameCache::NameCache() : inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

const std::vector<Address>* NameCache::read(const std::string& directory) {
  static thread_local Entry uncached;
  bool reliable = forget_changed();
  auto found = entries_.find(directory);
  if (found != entries_.end() && found->second.until > Clock::now()) return &found->second.addresses;
  if (found != entries_.end()) forget(found);
  uncached = {};
  // The watch comes first: what changes from here on is told.
  if (reliable && entries_.size() < ENTRIES_MAX)
    uncached.watch = inotify_add_watch(inotify_.get(), directory.c_str(), CHANGES);
  bool whole = read_directory(directory, &uncached);
  if (uncached.watch < 0) return &uncached.addresses;
  if (!whole || uncached.addresses.empty()) {
    inotify_rm_watch(inotify_.get(), uncached.watch);
    return &uncached.addresses;
  }
  uncached.until = Clock::now() + LIFETIME;
  return &(entries_[directory] = std::move(uncached)).addresses;
}

// false: changes are not told.
bool NameCache::forget_changed() {
  if (!inotify_) return false;
  alignas(inotify_event) char buffer[4096];
  for (;;) {
    ssize_t n = ::read(inotify_.get(), buffer, sizeof buffer);
    if (n <= 0) return n < 0 && errno == EAGAIN;
    for (char* at = buffer; at < buffer + n;) {
      auto* event = reinterpret_cast<inotify_event*>(at);
      at += sizeof *event + event->len;
      bool all = (event->mask & IN_Q_OVERFLOW) != 0;
      for (auto entry = entries_.begin(); entry != entries_.end();) {
        auto next = std::next(entry);
        const auto& owners = entry->second.owners;
        bool own = entry->second.watch == event->wd;
        if (all || own || std::find(owners.begin(), owners.end(), event->wd) != owners.end()) forget(entry);
        entry = next;
      }
      if (event->mask & (IN_IGNORED | IN_MOVE_SELF))
        for (auto each = owners_.begin(); each != owners_.end();)
          each = each->second == event->wd ? owners_.erase(each) : std::next(each);
    }
  }
}

void NameCache::forget(std::map<std::string, Entry>::iterator entry) {
  inotify_rm_watch(inotify_.get(), entry->second.watch);
  entries_.erase(entry);
}

// false: of some owner it cannot be told when it goes.
bool NameCache::read_directory(const std::string& directory, Entry* entry) {
  std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()), closedir);
  if (!stream) return false;
  bool whole = true;
  while (dirent* each = readdir(stream.get())) {
    if (each->d_name[0] == '.') continue;
    Address address = parse_address(each->d_name);
    if (address.family == 0) continue;
    if (entry->watch >= 0) {
      char owner[PATH_MAX];
      ssize_t size = readlinkat(dirfd(stream.get()), each->d_name, owner, sizeof owner);
      std::string path(owner, static_cast<size_t>(std::max<ssize_t>(size, 0)));
      size_t slash = path.rfind('/');
      int watch = slash == std::string::npos ? -1 : watch_owners(path.substr(0, slash));
      whole &= watch >= 0;
      entry->owners.push_back(watch);
    }
    // A link of an owner that is gone leads nowhere.
    if (faccessat(dirfd(stream.get()), each->d_name, F_OK, 0) == 0) entry->addresses.push_back(address);
  }
  return whole;
}

int NameCache::watch_owners(const std::string& directory) {
  auto known = owners_.find(directory);
  if (known != owners_.end()) return known->second;
  int watch = inotify_add_watch(inotify_.get(), directory.c_str(), LOSSES);
  if (watch >= 0) owners_[directory] = watch;
  return watch;
}

}  // namespace caisson

#include "core/rooms.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>

#include "core/netns.h"
#include "core/result.h"
#include "core/room_steps.h"
#include "core/sys.h"
#include "core/threads.h"

namespace caisson {

namespace {

using Clock = std::chrono::steady_clock;

// Each holds about 400 kB of kernel memory.
constexpr size_t STOCK_MIN = 2, STOCK_MAX = 6, ALL_MAX = 24;
constexpr auto IDLE = std::chrono::seconds(5);
// To the next try after one could not be made; twice as long each time, as somebody may only have killed who was to wait.
constexpr auto REST_MIN = std::chrono::seconds(1), REST_MAX = std::chrono::seconds(60);
// Of the descriptors that this process may have, the part that rooms may take: one room of this many.
constexpr size_t DESCRIPTORS_PER_ROOM = 32;
// Others come first; but not SCHED_IDLE, which could be kept from going on for long with a lock of the kernel's in hand.
constexpr int NICE = 10;

size_t rooms_at_most() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
  return std::min<rlim_t>(ALL_MAX, limit.rlim_cur / DESCRIPTORS_PER_ROOM);
}

std::string random_id() {
  unsigned char bytes[32];
  std::string id;
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return id;
  for (unsigned char byte : bytes)
    for (int half : {byte >> 4, byte & 15}) id += "0123456789abcdef"[half];
  return id;
}

// Whoever waits in its cgroup goes first.
void take_down(Room& room) {
  room.parked.reset();
  cgroup_remove(room.cgroup);
}

// Not by the keeper: a program would have its priority.
std::optional<Parked> park_elsewhere(const RoomRecipe& recipe, const std::string& id) {
  std::promise<std::optional<Parked>> made;
  Threads::quick().post_to_existing([&] { made.set_value(park(*recipe.parked, recipe.placeholder, id)); });
  return made.get_future().get();
}

}  // namespace

class RoomKeeper {
 public:
  static RoomKeeper& shared() {
    static auto* keeper = new RoomKeeper();  // its thread may wait in it while the process exits
    return *keeper;
  }

  void add(RoomStock* stock) {
    std::lock_guard lock(mutex_);
    stocks_.push_back(stock);
  }

  void remove(RoomStock* stock) {
    std::lock_guard lock(mutex_);
    std::erase(stocks_, stock);
    empty(stock, &left_);
    if (!left_.empty()) work_.notify_one();
  }

  std::optional<Room> take(RoomStock& stock) {
    std::lock_guard lock(mutex_);
    auto now = Clock::now();
    bool again = now - std::exchange(stock.last_, now) < IDLE;
    if (!again || now < stock.fails_until_) return std::nullopt;
    if (stock.rooms_.empty()) {
      stock.target_ = std::clamp(stock.target_ * 2, STOCK_MIN, STOCK_MAX);
      return std::nullopt;
    }
    Room room = std::move(stock.rooms_.front());
    stock.rooms_.pop_front();
    count_--;
    return room;
  }

  void wake() {
    {
      std::lock_guard lock(mutex_);
      if (!wanting() || std::exchange(awake_, true)) return;
      if (!std::exchange(running_, true)) start_thread([this] { run(); });
    }
    work_.notify_one();
  }

  void leave(Room room) {
    {
      std::lock_guard lock(mutex_);
      if (!std::exchange(running_, true)) start_thread([this] { run(); });
      left_.push_back(std::move(room));
      if (std::exchange(awake_, true)) return;
    }
    work_.notify_one();
  }

  bool drop() {
    std::vector<Room> gone;
    {
      std::lock_guard lock(mutex_);
      gone.swap(left_);
      for (RoomStock* stock : stocks_) {
        stock->target_ = 0;
        empty(stock, &gone);
      }
      short_until_ = Clock::now() + IDLE;
    }
    for (Room& room : gone) take_down(room);
    return !gone.empty();
  }

 private:
  void run() {
    if (!settle_in()) {
      std::lock_guard lock(mutex_);
      for (RoomStock* stock : stocks_) stock->fails_until_ = Clock::now() + REST_MAX;
      running_ = awake_ = false;
      return;
    }
    std::unique_lock lock(mutex_);
    for (;;) {
      std::vector<Room> gone;
      gone.swap(left_);
      if (RoomStock* low = gone.empty() ? wanting() : nullptr) {
        auto recipe = low->recipe_;
        lock.unlock();
        auto room = make(*recipe);
        lock.lock();
        // It may be gone by now, and another be in its place.
        auto stock = std::find_if(stocks_.begin(), stocks_.end(), [&](auto* each) { return each->recipe_ == recipe; });
        if (stock != stocks_.end() && room) {
          (*stock)->rest_ = {};
          if (room->parked) room->recipe = recipe;
          (*stock)->rooms_.push_back(std::move(*room));
          count_++;
        } else if (stock != stocks_.end()) {
          (*stock)->rest_ = std::clamp((*stock)->rest_ * 2, REST_MIN, REST_MAX);
          (*stock)->fails_until_ = Clock::now() + (*stock)->rest_;
        } else if (room) {
          gone.push_back(std::move(*room));
        }
      } else if (gone.empty()) {
        awake_ = false;
        auto due = [this] { return awake_ || !left_.empty(); };
        if (count_ == 0)
          work_.wait(lock, due);
        else if (!work_.wait_for(lock, IDLE, due))
          drop_idle(&gone);
        awake_ = true;
      }
      lock.unlock();
      for (Room& room : gone) take_down(room);
      gone.clear();
      lock.lock();
    }
  }

  // One that has less than it should.
  RoomStock* wanting() {
    auto now = Clock::now();
    if (count_ >= rooms_at_most() || now < short_until_) return nullptr;
    for (RoomStock* stock : stocks_)
      if (now >= stock->fails_until_ && stock->rooms_.size() < stock->target_) return stock;
    return nullptr;
  }

  void drop_idle(std::vector<Room>* gone) {
    for (RoomStock* stock : stocks_)
      if (Clock::now() - stock->last_ >= IDLE) {
        stock->target_ = 0;
        empty(stock, gone);
      }
  }

  void empty(RoomStock* stock, std::vector<Room>* to) {
    count_ -= stock->rooms_.size();
    for (Room& room : stock->rooms_) to->push_back(std::move(room));
    stock->rooms_.clear();
  }

  // --- on the keeper's thread, which is in the namespaces of this process between two rooms ---

  bool settle_in() {
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), NICE);
    // setns(2): a mount namespace is entered only by who shares root and working directory with nobody.
    if (unshare(CLONE_FS) < 0) return false;
    umask(0);
    own_.reset(open("/proc/thread-self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (auto [name, flag] : {std::pair{"net", CLONE_NEWNET}, {"ipc", CLONE_NEWIPC}, {"mnt", CLONE_NEWNS}})
      home_.emplace_back(Fd(openat(own_.get(), name, O_RDONLY | O_CLOEXEC)), flag);
    return std::all_of(home_.begin(), home_.end(), [](auto& each) { return static_cast<bool>(each.first); });
  }

  std::optional<Room> make(const RoomRecipe& recipe) {
    Room room;
    bool good = furnish(recipe, &room);
    for (auto& [fd, flag] : home_)
      if (recipe.namespaces & static_cast<uint64_t>(flag)) good &= setns(fd.get(), flag) == 0;
    if (good) return room;
    take_down(room);
    return std::nullopt;
  }

  bool furnish(const RoomRecipe& recipe, Room* room) {
    room->id = random_id();
    if (room->id.empty()) return false;
    auto put = [&](const std::string& text) { return put_id(text, recipe.placeholder, room->id); };
    room->cgroup = recipe.cgroup;
    each_path(&room->cgroup, put);
    std::vector<Step> steps = recipe.steps;
    for (Step& step : steps) step.path = put(step.path), step.text = put(step.text);
    if (!perform(steps, std::nullopt)) return false;
    if (recipe.parked && !(room->parked = park_elsewhere(recipe, room->id))) return false;
    if (recipe.namespaces == 0) return true;
    if (recipe.namespaces & CLONE_NEWNET) {
      // Its settings are files of this process's own /proc, so it comes before the mount namespace.
      auto network = make_network_namespace();
      if (!network) return false;
      room->namespaces.push_back(std::move(*network));
    }
    if (unshare(static_cast<int>(recipe.namespaces & ~static_cast<uint64_t>(CLONE_NEWNET))) < 0) return false;
    std::string plan = recipe.plan.fill(room->id);
    int slot[PLAN_SLOTS];
    int error = room_perform(reinterpret_cast<plan_header*>(plan.data()), slot);
    for (size_t kept : recipe.kept) room->mounts.emplace_back(std::exchange(slot[kept], -1));
    for (int fd : slot) Fd closed(fd);
    for (auto& [name, flag] : {std::pair{"ipc", CLONE_NEWIPC}, {"mnt", CLONE_NEWNS}}) {
      if (!(recipe.namespaces & static_cast<uint64_t>(flag))) continue;
      room->namespaces.emplace_back(openat(own_.get(), name, O_RDONLY | O_CLOEXEC));
      if (!room->namespaces.back()) return false;
    }
    return error == 0 && std::all_of(room->mounts.begin(), room->mounts.end(), [](auto& fd) { return static_cast<bool>(fd); });
  }

  std::mutex mutex_;
  std::condition_variable work_;
  std::vector<RoomStock*> stocks_;
  std::vector<Room> left_;
  size_t count_ = 0;  // in all stocks
  Clock::time_point short_until_;  // of descriptors
  bool running_ = false, awake_ = false;
  Fd own_;
  std::vector<std::pair<Fd, int>> home_;
};

RoomStock::RoomStock(RoomRecipe recipe) : recipe_(std::make_shared<const RoomRecipe>(std::move(recipe))) {
  RoomKeeper::shared().add(this);
}

RoomStock::~RoomStock() { RoomKeeper::shared().remove(this); }

std::optional<Room> RoomStock::take() { return RoomKeeper::shared().take(*this); }

void refill_rooms() { RoomKeeper::shared().wake(); }

void leave_room(Room room) { RoomKeeper::shared().leave(std::move(room)); }

std::optional<Parked> park_another(const Room& room) {
  if (!room.recipe) return std::nullopt;
  return park(*room.recipe->parked, room.recipe->placeholder, room.id);
}

bool drop_rooms() { return RoomKeeper::shared().drop(); }

}  // namespace caisson

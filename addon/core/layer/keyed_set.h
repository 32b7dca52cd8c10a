// A set of names that content chooses, in 64 bits each: SipHash-1-3 (Aumasson and Bernstein, 2012) with a random key, so
// that nobody can choose names that collide.
#pragma once

#include <sys/random.h>

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/bytes.h"

namespace caisson {

class KeyedSet {
 public:
  KeyedSet() : slots_(1024) {
    // As large as it is it comes at once (getrandom(2)); before the pool is ready, the addresses are random at least.
    if (getrandom(key_.data(), sizeof key_, GRND_NONBLOCK) != static_cast<ssize_t>(sizeof key_))
      key_ = {reinterpret_cast<uintptr_t>(this), reinterpret_cast<uintptr_t>(slots_.data())};
  }

  void insert(uint64_t device, uint64_t inode, std::string_view name) {
    if (2 * (count_ + 1) > slots_.size()) grow();
    if (put(hash(device, inode, name))) count_++;
  }
  bool contains(uint64_t device, uint64_t inode, std::string_view name) const {
    uint64_t wanted = hash(device, inode, name);
    for (size_t at = wanted & (slots_.size() - 1); slots_[at] != 0; at = (at + 1) & (slots_.size() - 1))
      if (slots_[at] == wanted) return true;
    return false;
  }

 private:
  bool put(uint64_t value) {
    size_t at = value & (slots_.size() - 1);
    for (; slots_[at] != 0; at = (at + 1) & (slots_.size() - 1))
      if (slots_[at] == value) return false;
    slots_[at] = value;
    return true;
  }
  void grow() {
    std::vector<uint64_t> before(slots_.size() * 2);
    before.swap(slots_);
    for (uint64_t value : before)
      if (value != 0) put(value);
  }

  // 0 marks an empty slot.
  uint64_t hash(uint64_t device, uint64_t inode, std::string_view name) const {
    uint64_t v[4] = {key_[0] ^ 0x736f6d6570736575, key_[1] ^ 0x646f72616e646f6d, key_[0] ^ 0x6c7967656e657261,
                     key_[1] ^ 0x7465646279746573};
    auto round = [&v] {
      v[0] += v[1], v[2] += v[3];
      v[1] = std::rotl(v[1], 13) ^ v[0], v[3] = std::rotl(v[3], 16) ^ v[2];
      v[0] = std::rotl(v[0], 32);
      v[2] += v[1], v[0] += v[3];
      v[1] = std::rotl(v[1], 17) ^ v[2], v[3] = std::rotl(v[3], 21) ^ v[0];
      v[2] = std::rotl(v[2], 32);
    };
    auto word = [&](uint64_t value) {
      v[3] ^= value;
      round();
      v[0] ^= value;
    };
    word(device);
    word(inode);
    size_t at = 0;
    for (; at + 8 <= name.size(); at += 8) word(load_native<uint64_t>(name.data() + at));
    uint64_t last = static_cast<uint64_t>(name.size()) << 56;
    memcpy(&last, name.data() + at, name.size() - at);
    word(last);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) round();
    uint64_t result = v[0] ^ v[1] ^ v[2] ^ v[3];
    return result == 0 ? 1 : result;
  }

  std::array<uint64_t, 2> key_;
  std::vector<uint64_t> slots_;
  size_t count_ = 0;
};

}  // namespace caisson

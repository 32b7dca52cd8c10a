#include "core/hash/xxhash64.h"

#include <algorithm>
#include <bit>

#include "core/bytes.h"

namespace caisson {

namespace {

constexpr uint64_t P1 = 0x9e3779b185ebca87, P2 = 0xc2b2ae3d27d4eb4f, P3 = 0x165667b19e3779f9,
                   P4 = 0x85ebca77c2b2ae63, P5 = 0x27d4eb2f165667c5;

uint64_t round(uint64_t lane, uint64_t input) { return std::rotl(lane + input * P2, 31) * P1; }

}  // namespace

XxHash64::XxHash64() : lanes_{P1 + P2, P2, 0, 0 - P1} {}

void XxHash64::stripe(const uint8_t* data) {
  for (size_t i = 0; i < 4; i++) lanes_[i] = round(lanes_[i], load_le64(data + 8 * i));
}

void XxHash64::update(const void* data, size_t size) {
  auto* at = static_cast<const uint8_t*>(data);
  size_t held = size_ % STRIPE;
  size_ += size;
  if (held > 0) {
    size_t taken = std::min(size, STRIPE - held);
    if (taken > 0) memcpy(pending_.data() + held, at, taken);
    if (held + taken < STRIPE) return;
    stripe(pending_.data());
    at += taken;
    size -= taken;
  }
  for (; size >= STRIPE; size -= STRIPE, at += STRIPE) stripe(at);
  if (size > 0) memcpy(pending_.data(), at, size);
}

uint64_t XxHash64::value() const {
  uint64_t hash = P5;
  if (size_ >= STRIPE) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) + std::rotl(lanes_[3], 18);
    for (uint64_t lane : lanes_) hash = (hash ^ round(0, lane)) * P1 + P4;
  }
  hash += size_;
  const uint8_t* at = pending_.data();
  const uint8_t* end = at + size_ % STRIPE;
  for (; end - at >= 8; at += 8) hash = std::rotl(hash ^ round(0, load_le64(at)), 27) * P1 + P4;
  if (end - at >= 4) {
    hash = std::rotl(hash ^ load_le32(at) * P1, 23) * P2 + P3;
    at += 4;
  }
  for (; at < end; at++) hash = std::rotl(hash ^ *at * P5, 11) * P1;
  hash = (hash ^ (hash >> 33)) * P2;
  hash = (hash ^ (hash >> 29)) * P3;
  return hash ^ (hash >> 32);
}

}  // namespace caisson

// The algorithms that OCI allows for digests, behind one face.
#pragma once

#include <string>
#include <variant>

#include "core/hash/sha256.h"
#include "core/hash/sha512.h"

namespace caisson {

class Hasher {
 public:
  // `sha256`, `sha384` or `sha512`; anything else is taken for `sha256`: the digest says which one it was.
  explicit Hasher(const std::string& algorithm);
  void update(const void* data, size_t size);
  // The algorithm's name, a colon, and hexadecimal digits. Ends it; no update may follow.
  std::string finish_text();

 private:
  std::variant<Sha256, Sha512> hash_;
};

}  // namespace caisson

#include "core/hash/hasher.h"

namespace caisson {

namespace {

std::string hexadecimal(const std::string& bytes) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (unsigned char byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

}  // namespace

Hasher::Hasher(const std::string& algorithm) {
  if (algorithm == "sha384") hash_ = Sha512(Sha512::Size::Bits384);
  if (algorithm == "sha512") hash_ = Sha512(Sha512::Size::Bits512);
}

void Hasher::update(const void* data, size_t size) {
  std::visit([&](auto& hash) { hash.update(data, size); }, hash_);
}

std::string Hasher::finish_text() {
  if (auto* sha256 = std::get_if<Sha256>(&hash_)) return sha256->finish_text();
  std::string digest = std::get<Sha512>(hash_).finish();
  return (digest.size() == 48 ? "sha384:" : "sha512:") + hexadecimal(digest);
}

}  // namespace caisson

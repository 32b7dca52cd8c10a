#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <random>

#include "core/network/name_cache.h"
#include "core/network/resolver.h"

namespace caisson {

namespace {

// Names of one address that are told.
constexpr size_t NAMES_MAX = 8;
constexpr size_t ID_SIZE = 12;
constexpr std::string_view ARPA4 = ".in-addr.arpa", ARPA6 = ".ip6.arpa";

// Names become parts of paths.
bool is_plain(const std::string& name) {
  if (name.empty() || name[0] == '.' || name.size() > 253) return false;
  return std::all_of(name.begin(), name.end(), [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-' || letter == '_' ||
           letter == '.';
  });
}

bool looks_like_id(const std::string& name) {
  return name.size() == ID_SIZE &&
         std::all_of(name.begin(), name.end(), [](unsigned char letter) { return std::isxdigit(letter); });
}

// What can be written in a message: parts of 1 to 63 bytes (RFC 1035 section 2.3.4).
bool has_labels(const std::string& name) {
  size_t length = 0;
  for (char letter : name + ".") {
    if (letter != '.') length++;
    else if (length == 0 || length > 63) return false;
    else length = 0;
  }
  return true;
}

void read_names_of(const std::string& network, const std::string& address, std::vector<std::string>* names) {
  std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(network.c_str()), closedir);
  if (!stream) return;
  while (dirent* entry = readdir(stream.get())) {
    if (!is_plain(entry->d_name) || !has_labels(entry->d_name)) continue;
    std::string link = std::string(entry->d_name) + "/" + address;
    if (faccessat(dirfd(stream.get()), link.c_str(), F_OK, 0) == 0) names->push_back(entry->d_name);
  }
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// "4.3.2.1.in-addr.arpa" as 1.2.3.4, and the 32 digits of ip6.arpa; empty for anything else.
std::string address_in(const std::string& name) {
  char text[INET6_ADDRSTRLEN] = "";
  unsigned char bytes[16];
  if (ends_with(name, ARPA4)) {
    std::string reversed = name.substr(0, name.size() - ARPA4.size());
    if (inet_pton(AF_INET, reversed.c_str(), bytes) != 1) return "";
    std::reverse(bytes, bytes + 4);
    return inet_ntop(AF_INET, bytes, text, sizeof text);
  }
  if (!ends_with(name, ARPA6) || name.size() != 63 + ARPA6.size()) return "";
  for (size_t i = 0; i < 32; i++) {
    char digit = name[62 - 2 * i];
    if (!std::isxdigit(static_cast<unsigned char>(digit)) || (i > 0 && name[63 - 2 * i] != '.')) return "";
    int value = digit <= '9' ? digit - '0' : digit - 'a' + 10;
    bytes[i / 2] = static_cast<unsigned char>(i % 2 ? bytes[i / 2] | value : value << 4);
  }
  return inet_ntop(AF_INET6, bytes, text, sizeof text);
}

}  // namespace

bool look_up(const ResolverSettings& settings, const std::string& name, std::vector<Address>* found) {
  static thread_local NameCache cache;
  if (auto host = settings.hosts.find(name); host != settings.hosts.end()) {
    *found = host->second;
    return true;
  }
  if (!is_plain(name)) return false;
  for (const std::string& network : settings.networks) {
    const auto* addresses = cache.read(network + "/" + name);
    found->insert(found->end(), addresses->begin(), addresses->end());
  }
  static thread_local std::minstd_rand random(std::random_device{}());
  std::shuffle(found->begin(), found->end(), random);
  return !found->empty();
}

std::vector<std::string> look_up_address(const ResolverSettings& settings, const std::string& name) {
  std::vector<std::string> names;
  std::string text = address_in(name);
  if (text.empty()) return names;
  Address address = parse_address(text);
  for (const auto& [host, addresses] : settings.hosts)
    for (const Address& each : addresses)
      if (each.family == address.family && each.view() == address.view()) names.push_back(host);
  for (const std::string& network : settings.networks) read_names_of(network, text, &names);
  // Whoever takes the first one gets a name that was given.
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return std::pair(looks_like_id(a), a) < std::pair(looks_like_id(b), b);
  });
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.size() > NAMES_MAX) names.resize(NAMES_MAX);
  return names;
}

}  // namespace caisson

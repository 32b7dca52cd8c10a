// Which paths of a context .dockerignore leaves out. JavaScript reads the patterns (lib/build/dockerfile/ignore.ts) and
// has the same rules for what it walks itself; here they are only matched.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace caisson {

// A part of a pattern with wildcards.
struct GlobPart {
  enum class Kind : uint8_t {
    Character,    // `low`
    Class,        // one of the ranges, or with `negated` none of them
    Any,          // one that is no slash
    Star,         // any number of anything but slashes
    Rest,         // anything to the end
    Directories,  // nothing, or anything that ends in a slash
  };
  Kind kind;
  bool negated = false;
  char32_t low = 0;
  std::vector<std::pair<char32_t, char32_t>> ranges{};
};

struct IgnorePattern {
  enum class Kind { Exact, Suffix, Prefix, Glob };
  bool exception = false;
  std::string stem;  // what every path that matches begins with
  Kind kind = Kind::Exact;
  std::string text;  // of all kinds but Glob
  std::vector<GlobPart> parts{};

  bool matches(std::string_view path) const;
};

class IgnorePatterns {
 public:
  // For each pattern, whether a directory or one above it matched. Empty for the root.
  using State = std::vector<bool>;

  explicit IgnorePatterns(std::vector<IgnorePattern> patterns) : patterns_(std::move(patterns)) {}

  // Whether the path is left out: the last pattern that matches it, or a directory that it is in, decides. `state` is
  // that of the directory it is in; afterwards its own.
  bool leaves_out(std::string_view path, State& state) const;
  // Whether something below a directory that is left out may be in after all.
  bool may_hold_exception(const std::string& directory) const;

 private:
  const std::vector<IgnorePattern> patterns_;
};

// The characters of a text; a byte that is no UTF-8 is U+FFFD.
std::vector<char32_t> characters(std::string_view text);
bool is_utf8(std::string_view text);

}  // namespace caisson

#include "core/inventory/patterns.h"

#include <algorithm>

namespace caisson {

namespace {

constexpr char32_t REPLACEMENT = 0xfffd;

// One character from the front of the text, which is cut off. REPLACEMENT with `good` cleared for what is no UTF-8
// (RFC 3629: no surrogates, nothing that could be shorter, nothing beyond U+10FFFF).
char32_t take(std::string_view& text, bool& good) {
  const auto first = static_cast<unsigned char>(text[0]);
  text.remove_prefix(1);
  if (first < 0x80) return first;
  const size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  if (first < 0xc2 || first > 0xf4 || text.size() < more) return good = false, REPLACEMENT;
  char32_t character = first & (0x3f >> more);
  for (size_t i = 0; i < more; i++) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0) != 0x80) return good = false, REPLACEMENT;
    character = character << 6 | (byte & 0x3f);
  }
  static const char32_t least[] = {0, 0x80, 0x800, 0x10000};
  if (character < least[more] || character > 0x10ffff || (character >= 0xd800 && character < 0xe000))
    return good = false, REPLACEMENT;
  text.remove_prefix(more);
  return character;
}

// All places in a pattern where one may be at once: no pattern takes more than its length times the path's.
class Places {
 public:
  explicit Places(const std::vector<GlobPart>& parts) : parts_(parts), here_(parts.size() + 1), next_(parts.size() + 1) {
    enter(here_, 0);
  }

  void step(char32_t character) {
    next_.assign(next_.size(), false);
    for (size_t place = 0; place < parts_.size(); place++)
      if (here_[place]) step_from(place, character);
    std::swap(here_, next_);
  }

  bool at_end() const { return here_[parts_.size()]; }

 private:
  void step_from(size_t place, char32_t character) {
    const GlobPart& part = parts_[place];
    switch (part.kind) {
      case GlobPart::Kind::Character:
        if (character == part.low) enter(next_, place + 1);
        break;
      case GlobPart::Kind::Class: {
        const bool in = std::any_of(part.ranges.begin(), part.ranges.end(), [&](const auto& range) {
          return range.first <= character && character <= range.second;
        });
        if (in != part.negated) enter(next_, place + 1);
        break;
      }
      case GlobPart::Kind::Any:
        if (character != '/') enter(next_, place + 1);
        break;
      case GlobPart::Kind::Star:
        if (character != '/') enter(next_, place);
        break;
      case GlobPart::Kind::Rest:
        enter(next_, place);
        break;
      case GlobPart::Kind::Directories:
        next_[place] = true;
        if (character == '/') enter(next_, place + 1);
        break;
    }
  }

  // Comes to a place anew: what may match nothing may also be passed over.
  void enter(std::vector<bool>& places, size_t place) {
    for (;; place++) {
      places[place] = true;
      if (place == parts_.size()) return;
      const auto kind = parts_[place].kind;
      if (kind != GlobPart::Kind::Star && kind != GlobPart::Kind::Rest && kind != GlobPart::Kind::Directories) return;
    }
  }

  const std::vector<GlobPart>& parts_;
  std::vector<bool> here_, next_;
};

}  // namespace

std::vector<char32_t> characters(std::string_view text) {
  std::vector<char32_t> found;
  bool good = true;
  while (!text.empty()) found.push_back(take(text, good));
  return found;
}

bool is_utf8(std::string_view text) {
  bool good = true;
  while (good && !text.empty()) take(text, good);
  return good;
}

bool IgnorePattern::matches(std::string_view path) const {
  switch (kind) {
    case Kind::Exact:
      return path == text;
    case Kind::Suffix:
      return path.ends_with(text) || (text.starts_with('/') && path == std::string_view(text).substr(1));
    case Kind::Prefix:
      return path.starts_with(text);
    case Kind::Glob:
      break;
  }
  Places places(parts);
  for (char32_t character : characters(path)) places.step(character);
  return places.at_end();
}

bool IgnorePatterns::leaves_out(std::string_view path, State& state) const {
  State own(patterns_.size());
  bool left = false;
  for (size_t i = 0; i < patterns_.size(); i++) {
    const bool above = i < state.size() && state[i];
    if (!above && (patterns_[i].exception != left || !patterns_[i].matches(path))) continue;
    own[i] = true;
    left = !patterns_[i].exception;
  }
  state = std::move(own);
  return left;
}

bool IgnorePatterns::may_hold_exception(const std::string& directory) const {
  const std::string below = directory + '/';
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const IgnorePattern& pattern) {
    return pattern.exception && (pattern.stem.starts_with(below) || below.starts_with(pattern.stem));
  });
}

}  // namespace caisson

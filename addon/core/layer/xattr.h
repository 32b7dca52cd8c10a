// Which extended attributes of an archive reach the file system, and in what form.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace caisson {

enum class XattrFate { Kept, Dropped };

// `user.*` and `security.capability` are content. All else means something to the host or to overlay, and is dropped:
// trusted.overlay.redirect could lead a mount out of its layers, system.* and security.* are policy.
XattrFate xattr_fate(std::string_view name);

inline constexpr std::string_view CAPABILITY = "security.capability";

// The value of security.capability for files whose root is another user on the host: version 3 names that user, so
// that the file gives nothing to anybody outside (capabilities(7)). Nothing when the value is damaged.
std::optional<std::string> capability_for_root(std::string_view value, uint32_t root);

// The other way: without the user.
std::string capability_plain(const std::string& value);

}  // namespace caisson

#include "core/layer/xattr.h"

#include <linux/capability.h>

#include "core/bytes.h"

namespace caisson {

XattrFate xattr_fate(std::string_view name) {
  if (name == CAPABILITY) return XattrFate::Kept;
  if (name.starts_with("user.") && !name.starts_with("user.overlay.")) return XattrFate::Kept;
  return XattrFate::Dropped;
}

std::optional<std::string> capability_for_root(std::string_view value, uint32_t root) {
  if (value.size() < sizeof(uint32_t)) return std::nullopt;
  const uint32_t magic = load_le32(value.data()), revision = magic & VFS_CAP_REVISION_MASK;
  const bool old = revision == VFS_CAP_REVISION_2 && value.size() == XATTR_CAPS_SZ_2;
  if (!old && !(revision == VFS_CAP_REVISION_3 && value.size() == XATTR_CAPS_SZ_3)) return std::nullopt;
  std::string result(value.substr(0, XATTR_CAPS_SZ_2));
  result.resize(XATTR_CAPS_SZ_3);
  store_le32(result.data(), VFS_CAP_REVISION_3 | (magic & VFS_CAP_FLAGS_MASK));
  store_le32(result.data() + XATTR_CAPS_SZ_2, root);
  return result;
}

std::string capability_plain(const std::string& value) {
  if (value.size() != XATTR_CAPS_SZ_3) return value;
  std::string result = value.substr(0, XATTR_CAPS_SZ_2);
  store_le32(result.data(), VFS_CAP_REVISION_2 | (load_le32(value.data()) & VFS_CAP_FLAGS_MASK));
  return result;
}

}  // namespace caisson

#include "core/tar/reader.h"

#include <algorithm>
#include <limits>

#include "core/fault.h"
#include "core/tar/sparse.h"

namespace caisson::tar {

namespace {

constexpr const char* TRUNCATED = "tar: the archive ends too early";
constexpr uint64_t STORED_MAX = std::numeric_limits<int64_t>::max() - BLOCK;

uint64_t padding(uint64_t size) { return (BLOCK - size % BLOCK) % BLOCK; }

bool has_link(Type type) { return type == Type::HardLink || type == Type::Symlink; }

Type type_of(char flag, bool slash) {
  switch (flag) {
    case '0':
    case '\0':
    case '7':
      // As v7 wrote directories.
      return slash ? Type::Directory : Type::File;
    case 'S':
      return Type::File;
    case '1':
      return Type::HardLink;
    case '2':
      return Type::Symlink;
    case '3':
      return Type::CharacterDevice;
    case '4':
      return Type::BlockDevice;
    case '5':
    case 'D':
      return Type::Directory;
    case '6':
      return Type::Fifo;
    case 'M':
      refused("tar: a member that is continued from another volume");
    default:
      refused("tar: a member of unknown type '" + std::string(1, flag) + "'");
  }
}

}  // namespace

bool Reader::next(Entry& entry) {
  skip();
  Meta meta;
  Header header;
  while (read_header(header)) {
    if (read_meta(header, meta)) continue;
    entry = Entry();
    name_it(header, meta, entry);
    try {
      fill(header, meta, entry);
    } catch (Fault& fault) {
      fault.entry = entry.name;
      throw;
    }
    return true;
  }
  if (meta.pax || meta.name || meta.link) malformed("tar: an extended header without its member");
  drain();
  return false;
}

// False at the end of the archive.
bool Reader::read_header(Header& header) {
  auto take = [&] {
    if (!in_.ensure(BLOCK)) {
      if (in_.size() > 0) malformed(TRUNCATED);
      return false;
    }
    memcpy(&header, in_.at, BLOCK);
    in_.at += BLOCK;
    return true;
  };
  auto zero = [&] { return is_zero({reinterpret_cast<const uint8_t*>(&header), BLOCK}); };
  if (!take()) {
    if (end_ == End::Strict) malformed("tar: the archive ends without its end mark");
    return false;
  }
  if (zero()) {
    if (end_ == End::Lenient) return false;
    if (!take() || !zero()) malformed("tar: half an end mark");
    return false;
  }
  if (!checksum_matches(header)) malformed("tar: a header with a wrong checksum, or no tar archive at all");
  return true;
}

// True when the header was one of those that say something about the next member.
bool Reader::read_meta(const Header& header, Meta& meta) {
  auto once = [](bool there) {
    if (there) malformed("tar: two extended headers for one member");
  };
  switch (header.type) {
    case 'x':
    case 'X': {
      once(meta.pax.has_value());
      std::string body = read_long(natural(header.size, "size"));
      meta.pax = read_pax({reinterpret_cast<const uint8_t*>(body.data()), body.size()});
      return true;
    }
    case 'g': {
      if (meta.pax || meta.name || meta.link) malformed("tar: an extended header without its member");
      std::string body = read_long(natural(header.size, "size"));
      read_global_pax({reinterpret_cast<const uint8_t*>(body.data()), body.size()}, global_);
      return true;
    }
    case 'L':
    case 'K': {
      auto& field = header.type == 'L' ? meta.name : meta.link;
      once(field.has_value());
      field = read_long(natural(header.size, "size"));
      // It ends with a NUL, of which some programs write more than one.
      field->resize(field->find_last_not_of('\0') + 1);
      if (field->find('\0') != std::string::npos) malformed("tar: a NUL in a name");
      return true;
    }
    case 'V':
      // A label of the volume.
      if (meta.pax || meta.name || meta.link) malformed("tar: an extended header without its member");
      if (natural(header.size, "size") != 0) malformed("tar: data behind a member that can have none");
      return true;
    default:
      return false;
  }
}

// The body of an extended header.
std::string Reader::read_long(uint64_t size) {
  if (size > META_MAX) over_limit("tar: an extended header of more than 1 MiB");
  if (!in_.ensure(size + padding(size))) malformed(TRUNCATED);
  std::string body(reinterpret_cast<const char*>(in_.at), size);
  in_.at += size + padding(size);
  return body;
}

void Reader::name_it(const Header& header, Meta& meta, Entry& entry) {
  auto choose = [](std::optional<std::string>& gnu, const std::optional<std::string>& pax, std::string plain) {
    if (gnu && pax) malformed("tar: a name from GNU and another one from pax");
    return gnu ? std::move(*gnu) : pax ? *pax : std::move(plain);
  };
  std::string name(text(header.name));
  if (format(header) == Format::Ustar && header.prefix[0] != '\0')
    name = std::string(text(header.prefix)) + '/' + name;
  if (!meta.pax) meta.pax.emplace();
  entry.name = choose(meta.name, meta.pax->path, std::move(name));
  if (meta.pax->sparse_name) entry.name = *meta.pax->sparse_name;
  entry.link = choose(meta.link, meta.pax->link, std::string(text(header.link)));
}

void Reader::fill(const Header& header, Meta& meta, Entry& entry) {
  const Pax& pax = *meta.pax;
  entry.type = type_of(header.type, entry.name.ends_with('/'));
  if (!has_link(entry.type)) entry.link.clear();
  entry.mode = static_cast<uint32_t>(natural(header.mode, "mode") & 07777);
  auto id = [](const auto& own, const auto& global, const auto& field, const char* what) {
    return own ? *own : global ? *global : natural(field, what);
  };
  entry.uid = id(pax.uid, global_.uid, header.uid, "uid");
  entry.gid = id(pax.gid, global_.gid, header.gid, "gid");
  entry.mtime = pax.mtime       ? *pax.mtime
                : global_.mtime ? *global_.mtime
                                : Time{number(header.mtime, "time"), 0};
  if (entry.type == Type::CharacterDevice || entry.type == Type::BlockDevice) {
    entry.major = static_cast<uint32_t>(natural(header.major, "device number"));
    entry.minor = static_cast<uint32_t>(natural(header.minor, "device number"));
  }
  entry.xattrs = std::move(meta.pax->xattrs);

  entry.stored = natural(header.size, "size");
  if (pax.size) {
    // Where the header can hold the size, both must say the same: a reader that does not know pax goes by the header.
    constexpr uint64_t OCTAL_MAX = uint64_t{1} << 33;
    if (entry.stored != 0 && *pax.size < OCTAL_MAX && *pax.size != entry.stored)
      malformed("tar: two sizes for one member");
    entry.stored = *pax.size;
  }
  if (entry.stored > STORED_MAX) malformed("tar: a size that is too large");
  // What a hard link's header says is the size of the other name.
  if (entry.type == Type::HardLink) entry.stored = 0;
  const bool may_have_data = entry.type == Type::File || (entry.type == Type::Directory && header.type != '5');
  if (!may_have_data && entry.stored != 0) malformed("tar: data behind a member that can have none");
  entry.size = entry.type == Type::File ? entry.stored : 0;
  padding_ = padding(entry.stored);
  if (entry.type == Type::File) {
    if (header.type == 'S')
      read_old_sparse(reinterpret_cast<const GnuHeader&>(header), in_, entry);
    else
      read_pax_sparse(pax, in_, entry);
  }
  left_ = entry.stored;
}

std::span<const uint8_t> Reader::data() {
  if (left_ == 0) return {};
  if (!in_.more()) malformed(TRUNCATED);
  std::span<const uint8_t> piece{in_.at, std::min<uint64_t>(left_, in_.size())};
  in_.at += piece.size();
  left_ -= piece.size();
  return piece;
}

void Reader::skip() {
  while (!data().empty()) continue;
  left_ = padding_;
  padding_ = 0;
  while (!data().empty()) continue;
}

// What stands behind the end mark belongs to the digest of the archive.
void Reader::drain() {
  while (in_.more()) {
    if (end_ == End::Strict && !is_zero({in_.at, in_.size()})) malformed("tar: something follows the end mark");
    in_.at = in_.end;
  }
}

}  // namespace caisson::tar

#include "core/inventory/digests.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/hash/xxhash64.h"
#include "core/inventory/share.h"

namespace caisson {

namespace {

// --- the book on disk: magic, number of records, XXH64 of them, records in order ----------------------------------------

constexpr std::string_view MAGIC = "caisson-digests-2\n";
constexpr size_t MAGIC_SIZE = 24, HEAD = MAGIC_SIZE + 16, IDENTITY = 5 * sizeof(uint64_t), RECORD = IDENTITY + 32;
constexpr int64_t SETTLED = 2'000'000'000;
constexpr off_t BOOK_MAX = 256 << 20;

std::string read_whole(const std::string& file) {
  Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status;
  if (!fd || fstat(fd.get(), &status) < 0 || !S_ISREG(status.st_mode) || status.st_size > BOOK_MAX) return {};
  std::string content(static_cast<size_t>(status.st_size), '\0');
  size_t at = 0;
  while (at < content.size()) {
    const ssize_t got = read(fd.get(), content.data() + at, content.size() - at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return {};
    at += static_cast<size_t>(got);
  }
  return content;
}

bool write_whole(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t done = write(fd, content.data(), content.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    content.remove_prefix(static_cast<size_t>(done));
  }
  return true;
}

void put_number(std::string& bytes, uint64_t number) {
  for (int i = 0; i < 8; i++) bytes += static_cast<char>(number >> (8 * i));
}

uint64_t checksum(std::string_view records) {
  XxHash64 hash;
  hash.update(records.data(), records.size());
  return hash.value();
}

// --- reading --------------------------------------------------------------------------------------------------------

constexpr size_t CHUNK = 256 << 10;
// Of one file and of all together, that are kept until they are copied.
constexpr uint64_t KEPT_FILE = 1 << 20, KEPT_ALL = 32 << 20;
// A thread is not worth a handful of files.
constexpr size_t FILES_EACH = 16;

class Readers {
 public:
  Readers(Inventory& inventory, const std::vector<uint32_t>& files, const std::atomic<bool>& cancelled)
      : inventory_(inventory), files_(files), cancelled_(cancelled) {}

  void run() {
    share_out(files_.size(), FILES_EACH, stopped_, [this] {
      return [this, buffer = std::vector<char>(CHUNK)](size_t at) mutable {
        if (cancelled_) throw Fault{Fault::Kind::Cancelled, "cancelled"};
        read_file(files_[at], buffer);
      };
    });
  }

 private:
  void read_file(uint32_t index, std::vector<char>& buffer) {
    InventoryItem& item = inventory_.item(index);
    const uint64_t size = item.identity.size;
    const bool keep = size <= KEPT_FILE && kept_.fetch_add(size) + size <= KEPT_ALL;
    Fd fd = inventory_.open(index);
    inventory_.count_holes(index, fd.get(), holes_);
    Sha256 hash;
    for (uint64_t left = size; left > 0;) {
      const ssize_t got = ::read(fd.get(), buffer.data(), std::min<uint64_t>(buffer.size(), left));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw Fault{Fault::Kind::System, "reading files", inventory_.path(index), "read", errno};
      if (got == 0) throw Fault{Fault::Kind::Refused, "it became shorter during the build", inventory_.path(index)};
      hash.update(buffer.data(), static_cast<size_t>(got));
      if (keep) item.bytes.append(buffer.data(), static_cast<size_t>(got));
      left -= static_cast<uint64_t>(got);
      if (cancelled_ || stopped_) throw Fault{Fault::Kind::Cancelled, "cancelled"};
    }
    item.has_bytes = keep;
    item.digest = hash.finish();
  }

  Inventory& inventory_;
  const std::vector<uint32_t>& files_;
  const std::atomic<bool>& cancelled_;
  std::atomic<uint64_t> kept_ = 0, holes_ = 0;
  std::atomic<bool> stopped_ = false;
};

// --- directories ----------------------------------------------------------------------------------------------------

void collect_files(const Inventory& inventory, uint32_t index, std::vector<uint32_t>& files) {
  std::vector<uint32_t> waiting{index};
  while (!waiting.empty()) {
    const uint32_t at = waiting.back();
    waiting.pop_back();
    const InventoryItem& item = inventory.item(at);
    if (S_ISREG(item.mode)) files.push_back(at);
    for (uint32_t child = item.first; child < item.first + item.count; child++) waiting.push_back(child);
  }
}

void add_number(Sha256& hash, uint64_t number) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = static_cast<uint8_t>(number >> (8 * i));
  hash.update(bytes, sizeof bytes);
}

// With its length, so that no two lists of texts are the same bytes.
void add_text(Sha256& hash, std::string_view text) {
  add_number(hash, text.size());
  hash.update(text.data(), text.size());
}

// What is in a directory comes behind it in an inventory, so the last one is begun with.
Sha256::Digest digest_directory(const Inventory& inventory, uint32_t top) {
  std::vector<uint32_t> directories{top};
  for (size_t i = 0; i < directories.size(); i++) {
    const InventoryItem& item = inventory.item(directories[i]);
    for (uint32_t child = item.first; child < item.first + item.count; child++)
      if (S_ISDIR(inventory.item(child).mode)) directories.push_back(child);
  }
  std::unordered_map<uint32_t, Sha256::Digest> done;
  for (size_t i = directories.size(); i-- > 0;) {
    const InventoryItem& directory = inventory.item(directories[i]);
    Sha256 hash;
    add_number(hash, directory.mode);
    for (uint32_t child = directory.first; child < directory.first + directory.count; child++) {
      const InventoryItem& item = inventory.item(child);
      add_text(hash, item.name);
      add_number(hash, item.mode);
      if (S_ISREG(item.mode)) hash.update(item.digest->data(), item.digest->size());
      if (S_ISDIR(item.mode)) hash.update(done.at(child).data(), sizeof(Sha256::Digest));
      if (S_ISLNK(item.mode)) add_text(hash, item.target);
      if (S_ISCHR(item.mode) || S_ISBLK(item.mode)) add_number(hash, item.device);
    }
    done[directories[i]] = hash.finish();
  }
  return done.at(top);
}

std::string text_of(const Sha256::Digest& digest) {
  static const char digits[] = "0123456789abcdef";
  std::string text = "sha256:";
  for (uint8_t byte : digest) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

}  // namespace

void DigestBook::load() {
  if (loaded_ || file_.empty()) return;
  loaded_ = true;
  const std::string content = read_whole(file_);
  if (content.size() < HEAD || !content.starts_with(MAGIC)) return;
  const std::string_view records = std::string_view(content).substr(HEAD);
  const auto count = load_le64(content.data() + MAGIC_SIZE);
  if (records.size() % RECORD != 0 || records.size() / RECORD != count) return;
  if (load_le64(content.data() + MAGIC_SIZE + 8) != checksum(records)) return;
  known_.reserve(count);
  for (const char* at = records.data(); at < records.data() + records.size(); at += RECORD) {
    uint64_t numbers[5];
    for (int i = 0; i < 5; i++) numbers[i] = load_le64(at + 8 * i);
    Record record{{numbers[0], numbers[1], numbers[2], static_cast<int64_t>(numbers[3]), static_cast<int64_t>(numbers[4])},
                  {}};
    memcpy(record.digest.data(), at + IDENTITY, record.digest.size());
    known_.push_back(record);
  }
  // Not std::ranges: the C++ library of musl's builds has no algorithms of it yet.
  if (!std::is_sorted(known_.begin(), known_.end(), [](const auto& a, const auto& b) { return a.identity < b.identity; }))
    known_.clear();
}

const Sha256::Digest* DigestBook::find(const FileIdentity& identity) const {
  const auto known = std::lower_bound(known_.begin(), known_.end(), identity,
                                      [](const Record& each, const FileIdentity& wanted) { return each.identity < wanted; });
  if (known != known_.end() && known->identity == identity) return &known->digest;
  const auto added = added_.find(identity);
  return added == added_.end() ? nullptr : &added->second;
}

void DigestBook::add(const FileIdentity& identity, const Sha256::Digest& digest) { added_[identity] = digest; }

void DigestBook::save(const Inventory& inventory) const {
  if (file_.empty()) return;
  std::map<FileIdentity, const Sha256::Digest*> settled;
  for (uint32_t index = 0; index < inventory.size(); index++) {
    const InventoryItem& item = inventory.item(index);
    if (!S_ISREG(item.mode) || item.identity.changed + SETTLED > inventory.began()) continue;
    if (const Sha256::Digest* digest = find(item.identity)) settled[item.identity] = digest;
  }
  std::string records;
  for (const auto& [identity, digest] : settled) {
    for (uint64_t number : {identity.device, identity.inode, identity.size, static_cast<uint64_t>(identity.modified),
                            static_cast<uint64_t>(identity.changed)})
      put_number(records, number);
    records.append(reinterpret_cast<const char*>(digest->data()), digest->size());
  }
  std::string head(MAGIC);
  head.resize(MAGIC_SIZE);
  put_number(head, records.size() / RECORD);
  put_number(head, checksum(records));
  std::string beside = file_ + "-XXXXXX";
  Fd fd(mkostemp(beside.data(), O_CLOEXEC));
  if (!fd) return;
  if (!write_whole(fd.get(), head) || !write_whole(fd.get(), records) || rename(beside.c_str(), file_.c_str()) < 0)
    unlink(beside.c_str());
}

std::vector<std::string> digest_items(Inventory& inventory, const std::vector<uint32_t>& items, DigestBook& book,
                                      const std::atomic<bool>& cancelled) {
  std::vector<uint32_t> files, unknown;
  for (uint32_t index : items) collect_files(inventory, index, files);
  std::erase_if(files, [&](uint32_t index) { return inventory.item(index).digest.has_value(); });
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  if (!files.empty()) {
    book.load();
    for (uint32_t index : files) {
      InventoryItem& item = inventory.item(index);
      if (const Sha256::Digest* known = book.find(item.identity))
        item.digest = *known;
      else
        unknown.push_back(index);
    }
    Readers(inventory, unknown, cancelled).run();
    for (uint32_t index : unknown) book.add(inventory.item(index).identity, *inventory.item(index).digest);
    if (!unknown.empty()) book.save(inventory);
  }
  std::vector<std::string> digests;
  for (uint32_t index : items) {
    const InventoryItem& item = inventory.item(index);
    if (S_ISREG(item.mode))
      digests.push_back(text_of(*item.digest));
    else
      digests.push_back(S_ISDIR(item.mode) ? text_of(digest_directory(inventory, index)) : "");
  }
  return digests;
}

}  // namespace caisson

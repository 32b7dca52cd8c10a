#include "core/devices.h"

#include <fcntl.h>
#include <linux/bpf.h>

#include <cstring>
#include <map>
#include <mutex>

#include "core/fd.h"
#include "core/sys.h"

namespace caisson {

namespace {

int bpf(bpf_cmd command, bpf_attr& attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

// The few instructions that are needed (Documentation/bpf/standardization/instruction-set.rst).
bpf_insn load(uint8_t to, uint8_t from, int16_t offset) { return {BPF_LDX | BPF_MEM | BPF_W, to, from, offset, 0}; }
bpf_insn move(uint8_t to, uint8_t from) { return {BPF_ALU | BPF_MOV | BPF_X, to, from, 0, 0}; }
bpf_insn set(uint8_t to, int32_t value) { return {BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value}; }
bpf_insn bits(uint8_t to, int32_t mask) { return {BPF_ALU | BPF_AND | BPF_K, to, 0, 0, mask}; }
bpf_insn shift_right(uint8_t to, int32_t count) { return {BPF_ALU | BPF_RSH | BPF_K, to, 0, 0, count}; }
bpf_insn jump_unequal(uint8_t what, int64_t value) {
  return {BPF_JMP32 | BPF_JNE | BPF_K, what, 0, 0, static_cast<int32_t>(value)};
}
bpf_insn jump_equal(uint8_t what, int64_t value) {
  return {BPF_JMP32 | BPF_JEQ | BPF_K, what, 0, 0, static_cast<int32_t>(value)};
}
bpf_insn leave() { return {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}; }

enum Register : uint8_t { R0, R1, TYPE, ACCESS, MAJOR, MINOR };

std::vector<bpf_insn> compile(const std::vector<DeviceRule>& rules) {
  constexpr int ALL = DeviceRule::MKNOD | DeviceRule::READ | DeviceRule::WRITE;
  // struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor.
  std::vector<bpf_insn> code = {
      load(TYPE, R1, 0),  move(ACCESS, TYPE),   bits(TYPE, 0xffff), shift_right(ACCESS, 16),
      load(MAJOR, R1, 4), load(MINOR, R1, 8),
  };
  // The last rule wins, so the first that fits from the end.
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    std::vector<size_t> to_next;
    auto unless = [&](bpf_insn jump) {
      to_next.push_back(code.size());
      code.push_back(jump);
    };
    if (rule->type != 'a')
      unless(jump_unequal(TYPE, rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR));
    if (rule->access != ALL) {
      code.push_back(move(R1, ACCESS));
      code.push_back(bits(R1, rule->allow ? ~rule->access & ALL : rule->access));
      unless(rule->allow ? jump_unequal(R1, 0) : jump_equal(R1, 0));
    }
    if (rule->major != DeviceRule::ANY) unless(jump_unequal(MAJOR, rule->major));
    if (rule->minor != DeviceRule::ANY) unless(jump_unequal(MINOR, rule->minor));
    code.push_back(set(R0, rule->allow));
    code.push_back(leave());
    for (size_t at : to_next) code[at].off = static_cast<int16_t>(code.size() - at - 1);
    // What follows could never be reached, which the kernel refuses to load.
    if (to_next.empty()) return code;
  }
  code.push_back(set(R0, 0));
  code.push_back(leave());
  return code;
}

Result<int> load_program(const std::vector<DeviceRule>& rules) {
  static std::mutex mutex;
  static auto* programs = new std::map<std::string, Fd>();  // few: one for each set of rules
  std::vector<bpf_insn> code = compile(rules);
  std::string key(reinterpret_cast<const char*>(code.data()), code.size() * sizeof(bpf_insn));
  std::lock_guard lock(mutex);
  if (auto known = programs->find(key); known != programs->end()) return known->second.get();
  bpf_attr attributes = {};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = reinterpret_cast<uint64_t>(code.data());
  attributes.insn_cnt = static_cast<uint32_t>(code.size());
  attributes.license = reinterpret_cast<uint64_t>("Apache-2.0");
  Fd program(bpf(BPF_PROG_LOAD, attributes));
  if (!program) return failed("devices", "bpf", "BPF_PROG_LOAD");
  int fd = program.get();
  programs->emplace(std::move(key), std::move(program));
  return fd;
}

}  // namespace

Result<> restrict_devices(const std::string& cgroup, const std::vector<DeviceRule>& rules) {
  auto program = load_program(rules);
  if (!program) return program.failure();
  Fd directory(open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return failed("devices", "open", cgroup);
  bpf_attr attributes = {};
  attributes.target_fd = static_cast<uint32_t>(directory.get());
  attributes.attach_bpf_fd = static_cast<uint32_t>(*program);
  attributes.attach_type = BPF_CGROUP_DEVICE;
  // Programs further up (systemd's, say) stay in force: all must allow.
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (bpf(BPF_PROG_ATTACH, attributes) < 0) return failed("devices", "bpf", "BPF_PROG_ATTACH " + cgroup);
  return Nothing{};
}

}  // namespace caisson

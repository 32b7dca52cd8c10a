#include "core/quota.h"

#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>

#include "core/fd.h"

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

namespace caisson {

namespace {

constexpr uint64_t BLOCK = 512;  // what d_blk_* count in
constexpr unsigned ENFORCED = FS_QUOTA_PDQ_ACCT | FS_QUOTA_PDQ_ENFD;

// The calls of XFS, which the kernel translates for other file systems. By a descriptor: the device need not have a name here.
int quota_call(int fd, unsigned command, uint32_t project, void* data) {
  return static_cast<int>(syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), project, data));
}

Result<> set_bounds(int fd, const std::string& directory, uint32_t project, QuotaBounds bounds) {
  fs_disk_quota quota = {};
  quota.d_version = FS_DQUOT_VERSION;
  quota.d_flags = FS_PROJ_QUOTA;
  quota.d_id = project;
  quota.d_fieldmask = FS_DQ_BHARD | FS_DQ_BSOFT | FS_DQ_IHARD | FS_DQ_ISOFT;
  quota.d_blk_hardlimit = bounds.bytes / BLOCK;
  quota.d_ino_hardlimit = bounds.files;
  if (quota_call(fd, Q_XSETQLIM, project, &quota) < 0) return failed("quota", "quotactl_fd", directory);
  return Nothing{};
}

// Nothing that was ever the project's is left, and it has no bounds. Others on the machine number projects, too.
Result<bool> is_free(int fd, const std::string& directory, uint32_t project) {
  fs_disk_quota quota = {};
  if (quota_call(fd, Q_XGETQUOTA, project, &quota) < 0) {
    if (errno == ENOENT || errno == ESRCH) return true;
    return failed("quota", "quotactl_fd", directory);
  }
  return quota.d_bcount == 0 && quota.d_icount == 0 && quota.d_blk_hardlimit == 0 && quota.d_blk_softlimit == 0 &&
         quota.d_ino_hardlimit == 0 && quota.d_ino_softlimit == 0;
}

Fd open_directory(const std::string& directory) {
  return Fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

}  // namespace

Result<> bound_directory(const std::string& directory, uint32_t project, QuotaBounds bounds) {
  Fd fd = open_directory(directory);
  if (!fd) return failed("quota", "open", directory);
  fs_quota_stat state = {};
  if (quota_call(fd.get(), Q_XGETQSTAT, 0, &state) < 0) return failed("quota", "quotactl_fd", directory);
  // Where it is only counted, nothing is bounded.
  if ((state.qs_flags & ENFORCED) != ENFORCED) return failed("quota", "quotactl_fd", directory, ENOSYS);
  auto free = is_free(fd.get(), directory, project);
  if (!free) return free.failure();
  if (!*free) return failed("quota", "quotactl_fd", directory, EEXIST);
  fsxattr attributes = {};
  if (ioctl(fd.get(), FS_IOC_FSGETXATTR, &attributes) < 0) return failed("quota", "FS_IOC_FSGETXATTR", directory);
  attributes.fsx_projid = project;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  if (ioctl(fd.get(), FS_IOC_FSSETXATTR, &attributes) < 0) return failed("quota", "FS_IOC_FSSETXATTR", directory);
  // No block of the kernel's is smaller than ours: a bound below one is that of one.
  return set_bounds(fd.get(), directory, project, {std::max(bounds.bytes, BLOCK), std::max<uint64_t>(bounds.files, 1)});
}

Result<> forget_project(const std::string& directory, uint32_t project) {
  Fd fd = open_directory(directory);
  if (!fd) return failed("quota", "open", directory);
  return set_bounds(fd.get(), directory, project, {0, 0});
}

}  // namespace caisson

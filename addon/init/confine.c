/*
 * A process of ours that stays in a program's sight. Who may trace it (CAP_SYS_PTRACE) makes it do what he likes: so it is
 * to be able to do no more than it has to.
 */
#include "context.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

enum { CALLS_MAX = 16, HEAD = 4 };

/* Everything else is EPERM. Where there are no filters, what it may not execute is all there is to it. */
void confine(const u16 *calls, u32 count) {
  struct sock_filter code[HEAD + CALLS_MAX + 2] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
  };
  u32 length = HEAD;
  if (count > CALLS_MAX) quit(125);
  for (u32 i = 0; i < count; i++)
    code[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], (u8)(count - i), 0);
  code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | E_PERM);
  code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {.len = (u16)length, .filter = code};
  for (unsigned capability = 0; capability < 64; capability++) SYS(prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
  SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  SYS(seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

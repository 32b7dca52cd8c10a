/*
 * Compiles rules with libseccomp, for comparison with our own compiler. Reads lines from its standard input:
 *
 *   arch x86_64|aarch64
 *   default ACTION                                     a number, as in libseccomp's SCMP_ACT_*
 *   rule NAME ACTION [INDEX OPERATOR VALUE VALUE2]...  operators are numbers too (enum scmp_compare)
 *
 * Prints the names of calls that it does not know, a line each, then the filter in hexadecimal.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 6 };

static int check(const char *what, int result) {
  if (result >= 0) return result;
  fprintf(stderr, "%s: %s\n", what, strerror(-result));
  exit(1);
}

static void rule(scmp_filter_ctx filter, uint32_t byDefault, char *text) {
  char *rest, *name = strtok_r(text, " \n", &rest), *word = strtok_r(NULL, " \n", &rest);
  uint32_t action = (uint32_t)strtoul(word, NULL, 0);
  struct scmp_arg_cmp arguments[ARGUMENTS_MAX];
  unsigned count = 0;
  while ((word = strtok_r(NULL, " \n", &rest)) && count < ARGUMENTS_MAX) {
    arguments[count].arg = (unsigned)strtoul(word, NULL, 0);
    arguments[count].op = (enum scmp_compare)strtoul(strtok_r(NULL, " \n", &rest), NULL, 0);
    arguments[count].datum_a = strtoull(strtok_r(NULL, " \n", &rest), NULL, 0);
    arguments[count].datum_b = strtoull(strtok_r(NULL, " \n", &rest), NULL, 0);
    count++;
  }
  int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) {
    printf("%s\n", name);
    return;
  }
  /* libseccomp takes no rule that says what happens anyway; and what a call is for another architecture is no rule. */
  if (action == byDefault) return;
  int result = seccomp_rule_add_array(filter, action, number, count, arguments);
  if (result != -EDOM) check(name, result);
}

int main(void) {
  scmp_filter_ctx filter = NULL;
  uint32_t arch = 0, byDefault = 0;
  char line[4096];
  while (fgets(line, sizeof line, stdin)) {
    if (strncmp(line, "arch ", 5) == 0) {
      line[strcspn(line, "\n")] = 0;
      arch = seccomp_arch_resolve_name(line + 5);
    } else if (strncmp(line, "default ", 8) == 0) {
      byDefault = (uint32_t)strtoul(line + 8, NULL, 0);
      filter = seccomp_init(byDefault);
      if (!filter) return 2;
      if (arch != seccomp_arch_native()) {
        check("seccomp_arch_add", seccomp_arch_add(filter, arch));
        check("seccomp_arch_remove", seccomp_arch_remove(filter, SCMP_ARCH_NATIVE));
      }
    } else if (strncmp(line, "rule ", 5) == 0) {
      rule(filter, byDefault, line + 5);
    }
  }
  fflush(stdout);
  int ends[2];
  if (pipe(ends) != 0) return 3;
  if (fork() == 0) {
    close(ends[0]);
    check("seccomp_export_bpf", seccomp_export_bpf(filter, ends[1]));
    _exit(0);
  }
  close(ends[1]);
  unsigned char bytes[4096];
  ssize_t n;
  while ((n = read(ends[0], bytes, sizeof bytes)) > 0)
    for (ssize_t i = 0; i < n; i++) printf("%02x", bytes[i]);
  puts("");
  return 0;
}

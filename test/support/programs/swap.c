/* Exchanges two names of a directory for ever: what was a directory a moment ago is a link. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 4 || chdir(argv[1]) < 0) return 2;
  puts("swapping");
  fflush(stdout);
  for (;;)
    if (renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3], RENAME_EXCHANGE) < 0) return 1;
}

/* Prints who it is and what it may do: effective ids, and the effective capabilities in hexadecimal. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
  unsigned long long effective = 0;
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status)) sscanf(line, "CapEff: %llx", &effective);
  printf("uid %d gid %d capabilities %llx\n", (int)geteuid(), (int)getegid(), effective);
  return 0;
}

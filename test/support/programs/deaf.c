/* A PID 1 that does not want to end with its owner: it clears its parent-death signal, says so, and stays. */
#include <sys/prctl.h>
#include <unistd.h>

int main(void) {
  prctl(PR_SET_PDEATHSIG, 0);
  if (write(1, "deaf\n", 5) != 5) return 1;
  for (;;) pause();
}

/*
 * caisson's init program: the owner (a Node process) executes it in the new container, where it carries out the plan
 * and then becomes the program that the container is for. Its own memory holds nothing but the plan.
 *
 * Invoked as
 *   init run                descriptor 3: control socket, 4: plan, 5...: inherited
 *   init watch              descriptor 3: pidfd of the owner, 4: what to remove, 5: socket (see watch.c)
 */
#include "context.h"

_Noreturn void watch(void);

static _Noreturn void run(void) {
  static struct context c;
  SYS(umask, 0); /* modes are given in full; CREDENTIALS sets the program's */
  c.control = PLAN_FD_CONTROL;
  c.empty_dir = -1;
  c.self = -1;
  for (u32 i = 0; i < PLAN_SLOTS; i++) c.slot[i] = -1;
  int r = plan_open(&c, PLAN_FD_PLAN);
  if (r < 0) fail(&c, -r);
  for (u32 i = 0; i < c.plan->inherited; i++) c.slot[i] = PLAN_FD_FIRST + (int)i;
  r = plan_perform(&c);
  fail(&c, r < 0 ? -r : E_PROTO);
}

__attribute__((used)) _Noreturn static void start(long *stack) {
  long count = stack[0];
  const char **arguments = (const char **)(stack + 1);
  if (count >= 2 && text_equal(arguments[1], "run")) run();
  if (count >= 2 && text_equal(arguments[1], "watch")) watch();
  static const char advice[] = "caisson-init: started by the caisson library, not by hand\n";
  SYS(write, 2, advice, sizeof advice - 1);
  quit(125);
}

#if defined(__x86_64__)
__asm__(".globl _start\n.type _start, @function\n_start:\n  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call start\n  hlt\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n.type _start, %function\n_start:\n  mov x29, #0\n  mov x30, #0\n  mov x0, sp\n  bl start\n");
#endif

/*
 * Makes sockets by the other ways into the kernel that x86_64 has, and says what came of each family:
 *
 *   gates i386 FAMILY   socketcall(2) by the gate of 32-bit programs, whose argument is where a filter cannot look
 *   gates x32 FAMILY    socket(2) by its x32 number
 *   gates plain FAMILY  socket(2)
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

int main(int count, char **list) {
  if (count != 3) return 2;
  unsigned family = (unsigned)atoi(list[2]);
  unsigned type = family == 38 ? SOCK_SEQPACKET : SOCK_STREAM;
  long result = -1000;
  if (strcmp(list[1], "plain") == 0) {
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_socket), "D"(family), "S"(type), "d"(0) : "rcx", "r11", "memory");
  } else if (strcmp(list[1], "x32") == 0) {
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_socket + 0x40000000), "D"(family), "S"(type), "d"(0)
                     : "rcx", "r11", "memory");
  } else {
    enum { I386_SOCKETCALL = 102, CALL_SOCKET = 1 };
    unsigned *arguments = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    arguments[0] = family;
    arguments[1] = type;
    arguments[2] = 0;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(I386_SOCKETCALL), "b"(CALL_SOCKET), "c"(arguments) : "memory");
    result = (int)result;
  }
  if (result >= 0)
    puts("made");
  else
    printf("%s\n", strerrorname_np((int)-result));
  return 0;
}

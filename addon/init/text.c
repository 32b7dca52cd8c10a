/* Text, and memory. */
#include "sys.h"

#include <linux/mman.h>

int text_equal(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

int text_starts(const char *text, const char *prefix) {
  while (*prefix && *text == *prefix) text++, prefix++;
  return *prefix == 0;
}

void text_copy(char *to, usize size, const char *from) {
  usize i = 0;
  for (; i + 1 < size && from[i]; i++) to[i] = from[i];
  to[i] = 0;
}

usize text_number(char *to, u64 number) {
  char digits[20];
  usize count = 0, length = 0;
  do digits[count++] = (char)('0' + number % 10);
  while (number /= 10);
  while (count) to[length++] = digits[--count];
  return length;
}

i64 text_parse(const char *text, u64 limit) {
  u64 value = 0;
  if (!*text) return -1;
  for (; *text; text++) {
    if (*text < '0' || *text > '9') return -1;
    value = value * 10 + (u64)(*text - '0');
    if (value > limit) return -1;
  }
  return (i64)value;
}

void *memory(usize size) {
  long address =
      SYS(mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return address < 0 && address > -4096 ? NULL : (void *)address;
}

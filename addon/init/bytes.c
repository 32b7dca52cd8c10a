/* What compilers call, and a C library would give. */
#include "sys.h"

void *memcpy(void *to, const void *from, usize size) {
  u8 *a = to;
  const u8 *b = from;
  while (size--) *a++ = *b++;
  return to;
}

void *memset(void *to, int byte, usize size) {
  u8 *a = to;
  while (size--) *a++ = (u8)byte;
  return to;
}

int memcmp(const void *a, const void *b, usize size) {
  const u8 *x = a, *y = b;
  for (; size--; x++, y++)
    if (*x != *y) return *x - *y;
  return 0;
}

usize strlen(const char *text) {
  usize length = 0;
  while (text[length]) length++;
  return length;
}

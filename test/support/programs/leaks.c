/*
 * A library that a process loads, and that leaves descriptors open to whatever is executed, as careless ones do: many at
 * once, and more that come and go in threads of their own. Node's own files are all closed on execution.
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static int opened(int count) {
  static const char *const places[] = {"/etc", "/etc/passwd", "/", "/dev/null"};
  return open(places[count % 4], O_RDONLY);
}

static void *again(void *unused) {
  int kept[40];
  for (;;) {
    for (int i = 0; i < 40; i++) kept[i] = opened(i);
    for (int i = 0; i < 40; i++) close(kept[i]);
  }
  return unused;
}

__attribute__((constructor)) static void leak(void) {
  pthread_t thread;
  for (int i = 0; i < 300; i++) opened(i);
  for (int i = 0; i < 4; i++) pthread_create(&thread, NULL, again, NULL);
}

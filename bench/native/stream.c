/* Much data over one connection. `stream sink PORT` takes connections, one after the other, and answers each with how many
   bytes came; `stream send ADDRESS PORT MEGABYTES` sends zeros, and fails unless all of them arrived. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[128 << 10];

static int sink(struct sockaddr_in *at) {
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)at, sizeof *at) < 0 || listen(listener, 16) < 0) return 1;
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    long long total = 0;
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) total += n;
    if (write(fd, &total, sizeof total) < 0) total = 0;
    close(fd);
  }
}

static int transmit(struct sockaddr_in *to, long long total) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)to, sizeof *to) < 0) return 2;
  for (long long left = total; left > 0;) {
    ssize_t n = write(fd, buffer, left < (long long)sizeof buffer ? (size_t)left : sizeof buffer);
    if (n < 0) return 3;
    left -= n;
  }
  shutdown(fd, SHUT_WR);
  long long arrived = 0;
  return read(fd, &arrived, sizeof arrived) == sizeof arrived && arrived == total ? 0 : 4;
}

int main(int count, char **arguments) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  if (count == 3 && strcmp(arguments[1], "sink") == 0) {
    address.sin_port = htons((uint16_t)atoi(arguments[2]));
    return sink(&address);
  }
  if (count != 5 || inet_pton(AF_INET, arguments[2], &address.sin_addr) != 1) return 64;
  address.sin_port = htons((uint16_t)atoi(arguments[3]));
  return transmit(&address, atoll(arguments[4]) << 20);
}

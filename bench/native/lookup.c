/* Asks the name server of /etc/resolv.conf for the address of a name, again and again: the median time in microseconds. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int count, char **arguments) {
  if (count < 3) return 64;
  int rounds = atoi(arguments[2]);
  char line[256], server[64] = "";
  FILE *file = fopen("/etc/resolv.conf", "r");
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "nameserver %63s", server) == 1) break;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
  if (inet_pton(AF_INET, server, &to.sin_addr) != 1) return 1;
  unsigned char query[512] = {0x12, 0x34, 1, 0, 0, 1}, answer[512];
  size_t size = 12;
  for (char *label = strtok(arguments[1], "."); label; label = strtok(NULL, ".")) {
    query[size] = (unsigned char)strlen(label);
    memcpy(query + size + 1, label, query[size]);
    size += query[size] + 1u;
  }
  memcpy(query + size, "\0\0\1\0\1", 5);
  size += 5;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return 1;
  double *times = calloc((size_t)rounds, sizeof *times);
  for (int i = 0; i < rounds; i++) {
    struct timespec from, until;
    clock_gettime(CLOCK_MONOTONIC, &from);
    if (send(fd, query, size, 0) < 0) return 1;
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    clock_gettime(CLOCK_MONOTONIC, &until);
    /* Found, with at least one answer. */
    if (n < 12 || (answer[3] & 15) != 0 || answer[7] == 0) return 2;
    times[i] = (double)(until.tv_sec - from.tv_sec) * 1e6 + (double)(until.tv_nsec - from.tv_nsec) / 1e3;
  }
  qsort(times, (size_t)rounds, sizeof *times, ascending);
  printf("%.1f\n", times[rounds / 2]);
  return 0;
}

/* One PING each millisecond to 127.0.0.1:PORT, open loop: a late answer does not delay the next question, and each
 * latency counts from the time at which the PING was due. Ends when its standard input is closed; then it writes two
 * 64-bit numbers for each PING: when it was due (CLOCK_MONOTONIC, ns) and how long it took (ns). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 600000
#define EVERY_NS 1000000LL
static int64_t rows[MOST][2];

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int count, char **words) {
    if (count != 2) return 2;
    struct sched_param priority = {.sched_priority = 50};
    sched_setscheduler(0, SCHED_FIFO, &priority); /* where it is not allowed, the probe's own delays count too */
    prctl(PR_SET_TIMERSLACK, 1);
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
    inet_pton(AF_INET, "127.0.0.1", &place.sin_addr);
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (connect(s, (struct sockaddr *)&place, sizeof place)) return 1;
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct pollfd watched[2] = {{.fd = s, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    int64_t due = now() + EVERY_NS, sent = 0, answered = 0, bytes = 0;
    int open = 1;
    while ((open && sent < MOST) || answered < sent) {
        int64_t left = due - now();
        if (open && left <= 0 && sent < MOST) {
            if (write(s, "PING\r\n", 6) != 6) break;
            rows[sent++][0] = due;
            due += EVERY_NS;
            continue;
        }
        struct timespec wait = {left / 1000000000LL, left > 0 ? left % 1000000000LL : 0};
        if (!open) wait.tv_sec = 5, wait.tv_nsec = 0;
        if (ppoll(watched, open ? 2 : 1, &wait, NULL) <= 0) {
            if (!open) break;
            continue;
        }
        if (watched[0].revents) {
            char buffer[4096];
            ssize_t got = read(s, buffer, sizeof buffer);
            if (got <= 0) break;
            int64_t at = now();
            for (bytes += got; bytes >= 7; bytes -= 7, answered++) rows[answered][1] = at - rows[answered][0];
        }
        if (open && watched[1].revents) open = 0;
    }
    fwrite(rows, sizeof rows[0], answered, stdout);
    return 0;
}

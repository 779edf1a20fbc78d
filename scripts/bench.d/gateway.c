#define _GNU_SOURCE
#include "gateway.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

static char answer[1 << 17];

void gateway_connect(struct gateway *gateway, const char *endpoint)
{
    char host[256], port[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int one = 1;
    if (sscanf(endpoint, "http://%255[^:]:%15[0-9]", host, port) != 2 ||
        getaddrinfo(host, port, &hints, &found) != 0)
        fail(endpoint);
    gateway->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (gateway->fd < 0 || connect(gateway->fd, found->ai_addr, found->ai_addrlen) < 0)
        fail(endpoint);
    setsockopt(gateway->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    freeaddrinfo(found);
    gateway->start = gateway->len = 0;
}

void gateway_send(struct gateway *gateway, const char *path, const char *body)
{
    char text[8192];
    int n = snprintf(text, sizeof text,
                     "POST %s HTTP/1.1\r\nHost: etcd\r\nContent-Type: "
                     "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     path, strlen(body), body);
    if (n < 0 || (size_t)n >= sizeof text || send(gateway->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        fail("send to etcd");
}

static void fill(struct gateway *gateway)
{
    if (gateway->start) {
        memmove(gateway->bytes, gateway->bytes + gateway->start, gateway->len);
        gateway->start = 0;
    }
    ssize_t got =
        recv(gateway->fd, gateway->bytes + gateway->len, sizeof gateway->bytes - gateway->len, 0);
    if (got <= 0)
        fail("receive from etcd");
    gateway->len += (size_t)got;
}

/* A line without its end. */
static void take_line(struct gateway *gateway, char *out, size_t size)
{
    char *end;
    while (!(end = memchr(gateway->bytes + gateway->start, '\n', gateway->len)))
        fill(gateway);
    size_t n = (size_t)(end - (gateway->bytes + gateway->start));
    if (n + 1 > size)
        fail("a long line from etcd");
    memcpy(out, gateway->bytes + gateway->start, n);
    out[n && out[n - 1] == '\r' ? n - 1 : n] = '\0';
    gateway->start += n + 1;
    gateway->len -= n + 1;
}

static void take(struct gateway *gateway, char *out, size_t n)
{
    while (gateway->len < n)
        fill(gateway);
    memcpy(out, gateway->bytes + gateway->start, n);
    gateway->start += n;
    gateway->len -= n;
}

const char *gateway_receive(struct gateway *gateway)
{
    static char line[1 << 16];
    size_t length = 0;
    int chunked = 0, status = 0;
    take_line(gateway, line, sizeof line);
    sscanf(line, "HTTP/1.1 %d", &status);
    for (take_line(gateway, line, sizeof line); line[0]; take_line(gateway, line, sizeof line)) {
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            length = strtoul(line + 15, NULL, 10);
        chunked |= strcasecmp(line, "Transfer-Encoding: chunked") == 0;
    }
    size_t n = 0;
    do {
        if (chunked) {
            take_line(gateway, line, sizeof line);
            length = strtoul(line, NULL, 16);
        }
        if (n + length >= sizeof answer)
            fail("a long answer from etcd");
        take(gateway, answer + n, length);
        n += length;
        if (chunked)
            take_line(gateway, line, sizeof line);
    } while (chunked && length);
    answer[n] = '\0';
    if (status != 200) {
        fprintf(stderr, "bench helper: etcd answers %d: %s\n", status, answer);
        exit(1);
    }
    return answer;
}

const char *gateway_post(struct gateway *gateway, const char *path, const char *body)
{
    gateway_send(gateway, path, body);
    return gateway_receive(gateway);
}

/* Between the messages are the sizes of chunks and empty lines. */
const char *gateway_message(struct gateway *gateway)
{
    do
        take_line(gateway, answer, sizeof answer);
    while (answer[0] != '{');
    return answer;
}

void gateway_base64(const char *text, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = (const unsigned char *)text;
    size_t left = strlen(text);
    for (; left; in += 3, left = left > 3 ? left - 3 : 0) {
        unsigned bits = in[0] << 16 | (left > 1 ? in[1] << 8 : 0) | (left > 2 ? in[2] : 0);
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[bits & 63] : '=';
    }
    *out = '\0';
}

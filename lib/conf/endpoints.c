/* endpoints = http://HOST:PORT, https://HOST:PORT ... */
#include "conf/parse.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX 253 /* bytes of a DNS name */

/* What follows `prefix`, if `text` begins with it. */
static bool strip_prefix(struct conf_span *text, const char *prefix)
{
    size_t len = strlen(prefix);

    if (text->len < len || memcmp(text->at, prefix, len) != 0)
        return false;
    text->at += len;
    text->len -= len;
    return true;
}

static bool is_ipv6(struct conf_span text)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;

    if (text.len >= sizeof address)
        return false;
    memcpy(address, text.at, text.len);
    address[text.len] = '\0';
    return inet_pton(AF_INET6, address, &parsed) == 1;
}

static const char *port_fault(struct conf_span port)
{
    unsigned number = 0;

    for (size_t i = 0; i < port.len; i++) {
        if (port.at[i] < '0' || port.at[i] > '9' || number > 65535)
            return "has a port that is no number; write http://HOST:PORT, for etcd mostly 2379";
        number = number * 10 + (unsigned)(port.at[i] - '0');
    }
    if (port.len == 0)
        return "has a colon but no port; write http://HOST:PORT, for etcd mostly 2379";
    if (number < 1 || number > 65535)
        return "has a port out of range; write a number from 1 to 65535";
    return NULL;
}

static const char *host_fault(struct conf_span host)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    if (host.len == 0)
        return "has no host; write http://HOST:PORT";
    if (host.len > HOST_MAX)
        return "has a host name longer than 253 bytes; write http://HOST:PORT";
    for (size_t i = 0; i < host.len; i++)
        if (!memchr(letters, host.at[i], sizeof letters - 1))
            return "has a host with a character that no host name has; write http://HOST:PORT";
    return NULL;
}

/* `rest` is what follows the scheme. */
static const char *authority_fault(struct conf_span rest)
{
    const char *end = rest.at + rest.len, *stop;
    struct conf_span host = rest;

    if (memchr(rest.at, '@', rest.len))
        return "has a user in it; write 'user' and 'password_file' instead";
    for (size_t i = 0; i < rest.len; i++)
        if (strchr("/?#", rest.at[i]))
            return "has something after host and port; write http://HOST:PORT";
    if (rest.len > 0 && rest.at[0] == '[') {
        stop = memchr(rest.at, ']', rest.len);
        host.at++;
        host.len = stop ? (size_t)(stop - host.at) : 0;
        if (!stop || !is_ipv6(host) || (stop + 1 < end && stop[1] != ':'))
            return "has no IPv6 address in its brackets; write http://[ADDRESS]:PORT";
        stop++;
    } else {
        stop = memchr(rest.at, ':', rest.len);
        if (stop && memchr(stop + 1, ':', (size_t)(end - stop) - 1))
            return "has more than one colon; write an IPv6 address in brackets: "
                   "http://[ADDRESS]:PORT";
        host.len = stop ? (size_t)(stop - rest.at) : rest.len;
        const char *fault = host_fault(host);
        if (fault)
            return fault;
        if (!stop)
            stop = end;
    }
    if (stop == end)
        return NULL;
    return port_fault((struct conf_span){.at = stop + 1, .len = (size_t)(end - stop) - 1});
}

static int add_endpoint(struct conf_parser *parser, struct conf_span url)
{
    struct conf *conf = parser->conf;
    struct conf_span rest;
    const char *fault;

    if (url.len == 0)
        return conf_fail(parser, parser->line,
                         "the list of endpoints has an empty place; take the comma out or write "
                         "http://HOST:PORT");
    rest = url;
    if (strip_prefix(&rest, "http://") || strip_prefix(&rest, "https://")) {
        if (rest.len > 0 && rest.at[rest.len - 1] == '/') {
            rest.len--;
            url.len--;
        }
        fault = authority_fault(rest);
    } else {
        fault = "begins neither with http:// nor with https://; write http://HOST:PORT";
    }
    if (fault)
        return conf_fail(parser, parser->line, "endpoint '%.*s%s' %s", CONF_SHOW(url), fault);
    if (conf->n_endpoints == CONF_ENDPOINTS)
        return conf_fail(parser, parser->line,
                         "there are more than %d endpoints; leave some out, the members that are "
                         "listed are enough",
                         CONF_ENDPOINTS);
    conf->endpoints[conf->n_endpoints] = conf_span_copy(url);
    if (!conf->endpoints[conf->n_endpoints])
        return conf_fail_memory(parser);
    conf->n_endpoints++;
    return 0;
}

int conf_set_endpoints(struct conf_parser *parser, struct conf_span value)
{
    const char *end = value.at + value.len, *comma;
    int result = 0;

    while (result == 0) {
        comma = memchr(value.at, ',', value.len);
        if (comma)
            value.len = (size_t)(comma - value.at);
        result = add_endpoint(parser, conf_trim(value));
        if (!comma)
            break;
        value = (struct conf_span){.at = comma + 1, .len = (size_t)(end - comma) - 1};
    }
    return result;
}

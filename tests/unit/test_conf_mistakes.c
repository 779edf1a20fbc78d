/* What is said about every mistake in a configuration: the line, the fault, what to do. */
#include "conf/conf.h"

#include "conf/scan.h"

#include "unit.h"

#include <errno.h>

#define ETCD "[etcd]\nendpoints = http://h:2379\n" /* two lines */
#define JOBS "[jobs]\npath = /j\nkey = /k\n"       /* three lines */
#define TAIL "\n" ETCD JOBS                        /* what a text needs besides the mistake */

struct mistake {
    const char *text;
    unsigned line;
    const char *part; /* of the message */
};

static const struct mistake structure[] = {
    {"", 1, "there is no section [etcd]"},
    {"# nothing\n\n", 2, "there is no section [etcd]"},
    {JOBS, 3, "there is no section [etcd]"},
    {"[etcd]\n" JOBS, 1, "[etcd] has no 'endpoints'"},
    {ETCD, 2, "no section maps a path"},
    {ETCD "[agent]\n", 3, "no section maps a path"},
    {"endpoints = http://h\n" TAIL, 1, "'endpoints' stands before any section"},
    {"\n\nhello\n" TAIL, 3, "'hello' is neither a section nor an option"},
    {"= x\n" TAIL, 1, "no option before the '='"},
    {ETCD "my path = /x\n", 3, "'my path = /x' does not begin with"},
    {ETCD "[jobs\npath = /j\n", 3, "'[jobs' is no section header"},
    {ETCD "[jobs] x\n", 3, "is no section header"},
    {ETCD "[]\n", 3, "the section has no name"},
    {ETCD "[  ]\n", 3, "the section has no name"},
    {ETCD "[lock jobs]\n", 3, "a section's name is one word"},
    {ETCD JOBS "\n" JOBS, 7, "section [jobs] is already there in line 3"},
    {ETCD JOBS ETCD, 6, "section [etcd] is already there in line 1"},
    {ETCD "[agent]\n[agent]\n", 4, "section [agent] is already there in line 3"},
    {ETCD JOBS "key = /x\n", 6, "'key' is already given in line 5"},
    {ETCD "root = /a\nroot = /b\n", 4, "'root' is already given in line 3"},
    {ETCD "[jobs]\nkey = /k\n", 3, "section [jobs] has no 'path'"},
    {ETCD "[jobs]\npath = /j\n[b]\n", 3, "section [jobs] has no 'key'"},
    {ETCD "[Agent]\npath = /j\n", 3, "did you mean [agent]?"},
    {ETCD JOBS "pth = /x\n", 6, "no option 'pth' in [jobs]; did you mean 'path'?"},
    {ETCD JOBS "Key = /x\n", 6, "did you mean 'key'?"},
    {ETCD JOBS "on-lost = kill\n", 6, "did you mean 'on_lost'?"},
    {ETCD JOBS "tiemout = 3\n", 6, "did you mean 'timeout'?"},
    {ETCD "endpionts = http://h\n", 3, "did you mean 'endpoints'?"},
    {ETCD "[agent]\ntl = 3\n", 4, "no option 'tl' in [agent]; did you mean 'ttl'?"},
    {ETCD "[agent]\nxyzzy = 3\n", 4, "options there are host, ttl, idle_release, turn, log"},
    {ETCD JOBS "ttl = 3\n", 6, "'ttl' is no option of [jobs]; move it to [agent]"},
    {ETCD "path = /x\n", 3, "'path' is no option of [etcd]; move it to a section of your own"},
    {"[etdc]\nendpoints = http://h\n", 2, "no option of [etdc]; did you mean the section [etcd]?"},
    {ETCD JOBS "a\001b\n", 6, "control character (byte 0x01)"},
    {ETCD JOBS "#\ra = b\n", 6, "carriage return inside the line"},
};

static const struct mistake values[] = {
    {"[etcd]\nendpoints =\n", 2, "'endpoints' has no value"},
    {"[etcd]\nendpoints = ,\n", 2, "empty place"},
    {"[etcd]\nendpoints = http://a,,http://b\n", 2, "empty place"},
    {"[etcd]\nendpoints = http://a,\n", 2, "empty place"},
    {"[etcd]\nendpoints = 10.0.0.1:2379\n", 2, "begins neither with http://"},
    {"[etcd]\nendpoints = ftp://a\n", 2, "'ftp://a' begins neither with http://"},
    {"[etcd]\nendpoints = http://\n", 2, "has no host"},
    {"[etcd]\nendpoints = https://:2379\n", 2, "has no host"},
    {"[etcd]\nendpoints = http://a:\n", 2, "a colon but no port"},
    {"[etcd]\nendpoints = http://a:x\n", 2, "a port that is no number"},
    {"[etcd]\nendpoints = http://a:0\n", 2, "a port out of range"},
    {"[etcd]\nendpoints = http://a:65536\n", 2, "a port out of range"},
    {"[etcd]\nendpoints = http://a:99999999999999999999\n", 2, "a port"},
    {"[etcd]\nendpoints = http://a:1/v3\n", 2, "something after host and port"},
    {"[etcd]\nendpoints = http://u:p@a:1\n", 2, "has a user in it"},
    {"[etcd]\nendpoints = http://a b\n", 2, "a character that no host name has"},
    {"[etcd]\nendpoints = http://::1:2379\n", 2, "more than one colon"},
    {"[etcd]\nendpoints = http://[::1:2379\n", 2, "no IPv6 address in its brackets"},
    {"[etcd]\nendpoints = http://[a]:2379\n", 2, "no IPv6 address in its brackets"},
    {"[etcd]\nendpoints = http://[::1]2379\n", 2, "no IPv6 address in its brackets"},
    {"[etcd]\nendpoints = http://1,http://2,http://3,http://4,http://5,http://6,http://7,http://8,"
     "http://9,http://10,http://11,http://12,http://13,http://14,http://15,http://16,http://17\n",
     2, "more than 16 endpoints"},
    {ETCD "user = joe:secret\n", 3, "has a colon in it"},
    {ETCD "user = joe\n" JOBS, 3, "'user' is given without 'password_file'"},
    {ETCD "password_file = /p\n" JOBS, 3, "'password_file' is given without 'user'"},
    {ETCD "cert = /c\n" JOBS, 3, "'cert' is given without 'key'"},
    {ETCD "key = /c\n" JOBS, 3, "'key' is given without 'cert'"},
    {ETCD "cacert = ca.pem\n", 3, "cacert = 'ca.pem' is not an absolute path"},
    {ETCD "root = etcdflock/\n", 3, "does not begin with a slash"},
    {ETCD "root = /\n", 3, "is every key there is"},
    {ETCD "root = /a//\n", 3, "empty part"},
    {ETCD "root = /a b\n", 3, "white space"},
    {ETCD "[agent]\nhost =\n", 4, "'host' has no value"},
    {ETCD "[agent]\nlog = \"/l\"\n", 4, "not an absolute path; write it from the root on"},
    {ETCD "[agent]\nttl = 15s\n", 4, "ttl = '15s' is not a whole number; write seconds"},
    {ETCD "[agent]\nttl = -5\n", 4, "is not a whole number"},
    {ETCD "[agent]\nttl = 1\n", 4, "out of range; write seconds from 2 to 3600"},
    {ETCD "[agent]\nttl = 3601\n", 4, "out of range"},
    {ETCD "[agent]\nidle_release = 99999999999999999999999\n", 4, "out of range"},
    {ETCD "[agent]\nturn = 1001\n", 4, "write milliseconds from 0 to 1000"},
    {ETCD "[agent]\nturn = 2.5\n", 4, "is not a whole number"},
    {ETCD "[j]\npath = j/x\n", 4, "path 'j/x' is not absolute"},
    {ETCD "[j]\npath = \"/j\"\n", 4, "without quotes"},
    {ETCD "[j]\npath = /j/[a\n", 4, "path '/j/[a', character 4: the bracket '[' is not closed"},
    {ETCD "[j]\npath = /j\\\n", 4, "ends in a backslash"},
    {ETCD "[j]\npath = /j/\n", 4, "ends in a slash"},
    {ETCD "[j]\npath = /a\npath = /b, /c\n", 5, "more than one pattern"},
    {ETCD "[j]\nkey =\n", 4, "'key' has no value"},
    {ETCD "[j]\nkey = /k/\n", 4, "key '/k/': the key ends in a slash"},
    {ETCD "[j]\nkey = /k//a\n", 4, "empty part"},
    {ETCD "[j]\nkey = /k/{nme}\n", 4, "write {path}, {name} or {dir}"},
    {ETCD "[j]\nkey = /k/{name\n", 4, "not closed"},
    {ETCD "[j]\nkey = /k path = /j\n", 4, "white space in the key"},
    {ETCD JOBS "on_lost = trem\n", 6, "on_lost = 'trem' is no known word; did you mean 'term'?"},
    {ETCD JOBS "on_lost = singal:HUP\n", 6, "did you mean 'signal:NAME'?"},
    {ETCD JOBS "on_lost = SIGHUP\n", 6, "is the name of a signal; write 'signal:SIGHUP'"},
    {ETCD JOBS "on_lost = explode\n", 6, "write term, kill, ignore or signal:NAME"},
    {ETCD JOBS "on_lost = signal:\n", 6, "names no signal; write a name such as"},
    {ETCD JOBS "on_lost = signal:HPU\n", 6, "did you mean 'signal:HUP'?"},
    {ETCD JOBS "on_lost = signal:sigusr1\n", 6, "did you mean 'signal:USR1'?"},
    {ETCD JOBS "on_lost = signal:0\n", 6, "names no signal"},
    {ETCD JOBS "on_lost = signal:65\n", 6, "a number from 1 to 64"},
    {ETCD JOBS "on_lost = signal:4294967305\n", 6, "names no signal"},
    {ETCD JOBS "timeout = soon\n", 6, "timeout = 'soon' is not a number; write seconds"},
    {ETCD JOBS "timeout = .5\n", 6, "is not a number"},
    {ETCD JOBS "timeout = 5.\n", 6, "is not a number"},
    {ETCD JOBS "timeout = 1000000.001\n", 6, "out of range"},
    {ETCD JOBS "timeout = 0.0001\n", 6, "finer than a millisecond"},
    {ETCD JOBS "merge = maybe\n", 6, "merge = 'maybe' is neither yes nor no; write"},
    {ETCD JOBS "[b]\npath = /b\nkey = /k/b\n", 8, "may lie inside one of '/k' (section [jobs])"},
    {ETCD "[a]\nkey = /k/b\npath = /a\n" JOBS, 8, "may lie around one of '/k/b' (section [a])"},
    {ETCD JOBS "[b]\npath = /b\nkey = /{name}/b\n", 8, "may lie inside one of '/k'"},
    {ETCD "[a]\nkey = /etcdflock/x\npath = /a\n", 4, "where the agents keep their own keys"},
    {ETCD "[a]\nkey = /etcdflock\npath = /a\n", 4, "where the agents keep their own keys"},
    {"[a]\nkey = /a/{name}\npath = /a\n" ETCD "root = /a/b/c\n", 2, "'/a/b/c/', where the agents"},
    {"[a]\nkey = /{name}/{path}\npath = /a\n" ETCD, 2, "where the agents keep"},
};

static void check_mistake(const struct mistake *mistake, size_t len)
{
    struct conf *conf = NULL;
    struct conf_error err = {.text = ""};
    char start[32];
    int result = conf_parse(mistake->text, len, "f.conf", &conf, &err);

    CHECK_INT(mistake->part, result, -EINVAL);
    CHECK_INT(err.text, err.line, mistake->line);
    snprintf(start, sizeof start, "f.conf:%u: ", mistake->line);
    CHECK(err.text, strncmp(err.text, start, strlen(start)) == 0);
    CHECK_HAS(mistake->text, err.text, mistake->part);
    CHECK_HAS("what to do", err.text, "; ");
    CHECK("one line", !strchr(err.text, '\n'));
    conf_free(conf);
}

static void test_mistakes(void)
{
    static char text[CONF_TEXT_MAX + 2];

    for (size_t i = 0; i < sizeof structure / sizeof structure[0]; i++)
        check_mistake(&structure[i], strlen(structure[i].text));
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        check_mistake(&values[i], strlen(values[i].text));

    struct mistake zero = {.text = ETCD "a\0b", .line = 3, .part = "there is a zero byte"};
    check_mistake(&zero, sizeof ETCD - 1 + 3);

    struct mistake longer = {.text = text, .line = 3, .part = "longer than 4096 bytes"};
    strcpy(text, ETCD "#");
    memset(text + strlen(text), 'x', CONF_LINE_MAX);
    check_mistake(&longer, strlen(text));
    longer.part = "larger than 1048576 bytes";
    longer.line = 1;
    memset(text, '\n', sizeof text - 1);
    check_mistake(&longer, strlen(text));

    strcpy(text, ETCD "[a]\npath=/a\nkey=");
    size_t len = strlen(text);
    memset(text + len, 'x', CONF_KEY_MAX + 2);
    memset(text + len + CONF_KEY_MAX + 1, 0, 2);
    longer.part = "the key is longer than 1024 bytes";
    longer.line = 5;
    check_mistake(&longer, strlen(text));

    strcpy(text, ETCD);
    for (int i = 0; i <= CONF_RULES; i++)
        snprintf(text + strlen(text), 64, "[s%d]\npath=/%d\nkey=/k/%d\n", i, i, i);
    longer.part = "more than 1000 sections";
    longer.line = 3 + 3 * CONF_RULES;
    check_mistake(&longer, strlen(text));
}

static void test_long_names(void)
{
    char file[5000];
    struct conf_error err;
    struct conf *conf = NULL;

    memset(file, 'd', sizeof file);
    strcpy(file + sizeof file - 10, "/x\n.conf");
    CHECK_INT("long file name", conf_parse("x", 1, file, &conf, &err), -EINVAL);
    CHECK_HAS("its end is shown, in one line", err.text, "ddd/x?.conf:1: 'x' is neither");

    char text[2048] = ETCD "root = /", *end = text + strlen(text);
    memset(end, 'r', 500);
    snprintf(end + 500, sizeof text - 600, "\n[%.64s]\npath = /\nkey = /", file);
    end = text + strlen(text);
    memset(end, 'r', 500);
    strcpy(end + 500, "/{name}\n");
    CHECK_INT("long words", conf_parse(text, strlen(text), file, &conf, &err), -EINVAL);
    CHECK_HAS("are cut", err.text, "rrrr...' may lie");
    CHECK_HAS("and leave room for what to do", err.text, "; change it, or 'root' in [etcd]");
    CHECK_INT("no error wanted", conf_parse("x", 1, "f", &conf, NULL), -EINVAL);
}

int main(void)
{
    test_mistakes();
    test_long_names();
    return unit_end();
}

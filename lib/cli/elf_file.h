/* What an executable says about how it will be loaded (elf(5)), read without trust. */
#ifndef ETCDFLOCK_CLI_ELF_FILE_H
#define ETCDFLOCK_CLI_ELF_FILE_H

#include <limits.h>
#include <stdbool.h>

struct elf_file {
    unsigned char bits;       /* ELFCLASS32 or ELFCLASS64 */
    unsigned char byte_order; /* ELFDATA2LSB or ELFDATA2MSB */
    unsigned machine;         /* EM_X86_64 ... */
    /* Only of files of this process's own class and byte order; else empty. */
    char interpreter[PATH_MAX]; /* the loader of its libraries; "" for a static program */
    bool go;                    /* made by the Go compiler */
    bool imports_locks;         /* if go: flock, fcntl or lockf by name */
    bool other_libraries;       /* if go: needs a library beside those of the C library */
};

/* Returns 0, -ENOEXEC if it is no ELF file, -EBADMSG if it is damaged, or why it cannot be read. */
int elf_file_read(int fd, struct elf_file *out);

/* x86-64, i386 and the like, or "machine N". Static text. */
const char *elf_file_machine(const struct elf_file *file);

#endif

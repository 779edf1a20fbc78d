/* What the program `early` and its shared object share. */
#ifndef EARLY_H
#define EARLY_H

/* Opens the file and tries LOCK_EX; returns 0 or the errno. */
int early_try(const char *path);

/* What the constructor of the shared object was answered. */
extern int early_constructor_result;

#endif

#!/usr/bin/env bash
# gcc and clang: errors in C and C++, an undefined reference, a warning made an error, a make that stops.
. "$(dirname "$0")/common.sh"
export LC_ALL=C.UTF-8
mkdir include
cat >include/money.h <<'X'
int total(const int *prices, int count);
unknown_type broken(void);
X
cat >money.c <<'X'
#include "money.h"
#include <stdio.h>

int total(const int *prices, int count) {
    int unused;
    for (int i = 0; i < count; i++) sum += prices[i];
    return "text"
}
X
cat >linked.c <<'X'
int missing(int);
int main(void) { return missing(3); }
X
cat >shape.cpp <<'X'
#include <string>
#include <vector>
struct Shape { virtual int area() const = 0; };
int main() {
    Shape shape;
    std::vector<std::string> names{1, 2};
    return names.size() + shape.volume();
}
X
cat >Makefile <<'X'
all: money.o
money.o: money.c include/money.h
	$(CC) -Wall -Werror -Iinclude -c money.c -o money.o
X
record gcc.txt make --no-print-directory CC=gcc
record clang.txt make --no-print-directory CC=clang
record gcc_link.txt gcc linked.c -o linked
record gcc_cpp.txt g++ -fdiagnostics-color=always -c shape.cpp
record clang_cpp.txt clang++ -c shape.cpp
record gcc_fatal.txt gcc -c -include nowhere.h linked.c
as_github github_gcc.txt gcc.txt "make"

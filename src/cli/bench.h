// Load generators of `parley bench`. Each is a plain client over sockets: it knows nothing of the server in this
// binary.
#pragma once

int bench_zookeeper_main(int argc, char **argv);
int bench_native_main(int argc, char **argv);
int bench_locks_main(int argc, char **argv);

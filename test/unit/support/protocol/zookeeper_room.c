// The ZooKeeper room over the fake node: included by each of its tests (fake_names.h says why).
// clang-format off
#include "test/unit/support/protocol/fake_names.h"
#include "protocol/zookeeper/auth.c"
#include "protocol/zookeeper/codec.c"
#include "protocol/zookeeper/connect.c"
#include "protocol/zookeeper/four_letter.c"
#include "protocol/zookeeper/instance.c"
#include "protocol/zookeeper/multi.c"
#include "protocol/zookeeper/paths.c"
#include "protocol/zookeeper/pipeline.c"
#include "protocol/zookeeper/reads.c"
#include "protocol/zookeeper/stats.c"
#include "protocol/zookeeper/watches.c"
#include "protocol/zookeeper/writes.c"
#include "test/unit/support/protocol/fake_service.c"
#include "test/unit/support/protocol/zookeeper_script.c"
// clang-format on

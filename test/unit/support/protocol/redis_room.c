// The Redis room over the fake node: included by each of its tests (fake_names.h says why).
// clang-format off
#include "test/unit/support/protocol/fake_names.h"
#include "protocol/redis/clients.c"
#include "protocol/redis/cluster.c"
#include "protocol/redis/commands.c"
#include "protocol/redis/config.c"
#include "protocol/redis/connect.c"
#include "protocol/redis/info.c"
#include "protocol/redis/instance.c"
#include "protocol/redis/parse.c"
#include "protocol/redis/pubsub.c"
#include "protocol/redis/requests.c"
#include "protocol/redis/transaction.c"
#include "test/unit/support/protocol/fake_service.c"
// clang-format on

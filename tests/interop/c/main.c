// SPDX-License-Identifier: Apache-2.0
// Runs every case, prints one line for each, exits 1 if any failed. An argument names the only case
// to run. The broker comes from the environment: AMQP_HOST, AMQP_PORT, AMQP_USER, AMQP_PASSWORD,
// AMQP_VHOST and AMQP_PRODUCT (harrier or rabbitmq).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"
#include "support.h"

jmp_buf case_abandoned;
char failure_text[1024];

static const char* environment(const char* name, const char* otherwise) {
  const char* value = getenv(name);
  return value != NULL ? value : otherwise;
}

static bool run_case(const struct Case* item) {
  if (setjmp(case_abandoned) != 0) return false;
  item->run();
  return true;
}

static int run_group(const struct Case* cases, const char* only, int* run_count) {
  int failed_count = 0;
  for (const struct Case* item = cases; item->name != NULL; ++item) {
    if (only != NULL && strcmp(only, item->name) != 0) continue;
    ++*run_count;
    if (run_case(item)) {
      printf("ok %s\n", item->name);
    } else {
      ++failed_count;
      printf("not ok %s: %s\n", item->name, failure_text);
    }
    drop_connections();
    fflush(stdout);
  }
  return failed_count;
}

int main(int argc, char** argv) {
  settings.host = environment("AMQP_HOST", "127.0.0.1");
  settings.port = atoi(environment("AMQP_PORT", "5672"));
  settings.user = environment("AMQP_USER", "guest");
  settings.password = environment("AMQP_PASSWORD", "guest");
  settings.vhost = environment("AMQP_VHOST", "/");
  settings.is_rabbitmq = strcmp(environment("AMQP_PRODUCT", "harrier"), "rabbitmq") == 0;

  const struct Case* groups[] = {kConnectionCases, kRoutingCases, kPublishCases,
                                 kQueueCases,      kConsumeCases, kTxAndRpcCases};
  int run_count = 0;
  int failed_count = 0;
  for (size_t i = 0; i < sizeof groups / sizeof groups[0]; ++i) {
    failed_count += run_group(groups[i], argc > 1 ? argv[1] : NULL, &run_count);
  }
  printf("c: %d cases, %d failed\n", run_count, failed_count);
  return failed_count == 0 && run_count > 0 ? 0 : 1;
}

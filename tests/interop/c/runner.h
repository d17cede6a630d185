// SPDX-License-Identifier: Apache-2.0
// The seam between the runner and a failing expectation: where it jumps to and what it says.
#pragma once

#include <setjmp.h>

extern jmp_buf case_abandoned;
extern char failure_text[1024];

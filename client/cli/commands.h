/* client/cli/commands.h: the rows of the table of commands (command.h), one from each
 * file cmd_NAME.c. */
#pragma once

#include "client/cli/command.h"

extern const struct rmd_command rmd_command_run;
extern const struct rmd_command rmd_command_map;
extern const struct rmd_command rmd_command_ps;
extern const struct rmd_command rmd_command_explain;
extern const struct rmd_command rmd_command_wait;
extern const struct rmd_command rmd_command_pools;
extern const struct rmd_command rmd_command_workers;
extern const struct rmd_command rmd_command_logs;
extern const struct rmd_command rmd_command_cancel;
extern const struct rmd_command rmd_command_up;
extern const struct rmd_command rmd_command_down;
extern const struct rmd_command rmd_command_status;
extern const struct rmd_command rmd_command_module_push;
extern const struct rmd_command rmd_command_module_list;
extern const struct rmd_command rmd_command_module_remove;
extern const struct rmd_command rmd_command_token_create;
extern const struct rmd_command rmd_command_token_list;
extern const struct rmd_command rmd_command_token_revoke;
extern const struct rmd_command rmd_command_version;
extern const struct rmd_command rmd_command_help;
extern const struct rmd_command rmd_command_man;
extern const struct rmd_command rmd_command_complete;
extern const struct rmd_command rmd_command_complete_tasks;

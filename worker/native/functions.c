#include "worker/native/functions.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/error/chain.h"
#include "proto/task/convert.h"
#include "worker/crash/catch.h"

#define TABLE_MIN 64u
#define PREFIX_MAX 128u
/* More tasks than any module has: bounds of a section that makes no sense. */
#define TASKS_MAX 65536u

/* FNV-1a. */
static uint64_t hash_of(struct rmd_slice name)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	for (size_t i = 0; i < name.len; i++)
		hash = (hash ^ name.data[i]) * UINT64_C(1099511628211);
	return hash;
}

/* Where `name` is in the table, or where it would go. The table is never full. */
static struct rmd_function **place_of(const struct rmd_functions *functions,
				      struct rmd_slice name, uint64_t hash)
{
	size_t mask = functions->table_size - 1;
	for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
		struct rmd_function *at = functions->table[i];
		if (at == NULL || (at->hash == hash && at->name_len == name.len &&
				   memcmp(at->name, name.data, name.len) == 0))
			return &functions->table[i];
	}
}

/* Makes room for one more: at most half of the table is in use. */
static int grow(struct rmd_functions *functions)
{
	if (functions->count + 1 <= functions->table_size / 2)
		return 0;
	struct rmd_functions bigger = *functions;
	bigger.table_size = functions->table_size == 0 ? TABLE_MIN
						       : functions->table_size * 2;
	bigger.table = rmd_calloc(bigger.table_size, sizeof *bigger.table);
	if (bigger.table == NULL)
		return RMD_ENOMEM;
	for (size_t i = 0; i < functions->table_size; i++) {
		struct rmd_function *at = functions->table[i];
		if (at != NULL)
			*place_of(&bigger, rmd_slice_of(at->name, at->name_len),
				  at->hash) = at;
	}
	rmd_free(functions->table);
	*functions = bigger;
	return 0;
}

const struct rmd_function *rmd_functions_find(struct rmd_functions *functions,
					      struct rmd_slice name)
{
	const struct rmd_function *last = functions->last;
	if (last != NULL && last->name_len == name.len &&
	    memcmp(last->name, name.data, name.len) == 0)
		return last;
	if (functions->table_size == 0)
		return NULL;
	const struct rmd_function *found = *place_of(functions, name, hash_of(name));
	if (found != NULL)
		functions->last = found;
	return found;
}

/* Takes the functions of the module that was added last out again, as far as there is
 * memory for it. */
static void forget_last_module(struct rmd_functions *functions)
{
	struct rmd_functions kept = *functions;
	kept.module_count--;
	kept.count = 0;
	kept.last = NULL;
	kept.table = rmd_calloc(functions->table_size + 1, sizeof *kept.table);
	if (kept.table == NULL)
		return;
	for (size_t i = 0; i < functions->table_size; i++) {
		struct rmd_function *at = functions->table[i];
		if (at != NULL && at->module == kept.module_count) {
			rmd_free(at->name);
			rmd_free(at);
		} else if (at != NULL) {
			*place_of(&kept, rmd_slice_of(at->name, at->name_len), at->hash) =
				at;
			kept.count++;
		}
	}
	rmd_free(functions->modules[kept.module_count].path);
	rmd_free(functions->table);
	*functions = kept;
}

/* ---- adding ---- */

static struct remuda_error *module_error(const char *path, const char *reason)
{
	return remuda_error_create("ModuleError", "module %s: %s", path, reason);
}

static bool prefix_valid(const char *prefix)
{
	if (prefix == NULL || *prefix == '\0' || strlen(prefix) > PREFIX_MAX)
		return false;
	for (; *prefix != '\0'; prefix++)
		if (!isalnum((unsigned char)*prefix) && strchr("_.-", *prefix) == NULL)
			return false;
	return true;
}

/* Finds the message types of a function. */
static struct remuda_error *resolve_messages(struct rmd_function *function,
					     const char *path)
{
	const struct remuda_task *task = function->task;
	const char *text = task->ret_text;
	bool found = true;
	if (task->ret_type == REMUDA_TYPE_MESSAGE) {
		function->ret_message = rmd_task_message(task, text);
		found = function->ret_message != NULL;
	}
	for (uint32_t i = 0; i < task->param_count && found; i++) {
		if (task->params[i].type != REMUDA_TYPE_MESSAGE)
			continue;
		text = task->params[i].text;
		function->messages[i] = rmd_task_message(task, text);
		found = function->messages[i] != NULL;
	}
	if (found)
		return NULL;
	return remuda_error_create(
		"ModuleError",
		"module %s: function %s (%s:%u) has the type '%s', which no "
		"REMUDA_MESSAGE in this module names",
		path, function->name, task->file, (unsigned)task->line, text);
}

/* Checks what a descriptor says of itself. */
static const char *descriptor_fault(const struct remuda_task *task)
{
	if (task->size < sizeof *task || task->abi_version != REMUDA_ABI_VERSION)
		return "a function in it was built with another version of remuda/task.h";
	if (task->thunk == NULL || task->name == NULL || task->params == NULL ||
	    task->param_count > REMUDA_PARAMS_MAX)
		return "a descriptor in it makes no sense";
	return NULL;
}

void rmd_function_free(struct rmd_function *function)
{
	if (function != NULL)
		rmd_free(function->name);
	rmd_free(function);
}

struct rmd_function *rmd_functions_make(const struct rmd_functions *functions,
					size_t module, const struct remuda_task *task,
					struct remuda_error **ret_err)
{
	const struct rmd_loaded_module *from = &functions->modules[module];
	const char *fault = descriptor_fault(task);
	if (fault != NULL) {
		*ret_err = module_error(from->path, fault);
		return NULL;
	}
	struct rmd_function *function = rmd_calloc(1, sizeof *function);
	if (function != NULL)
		function->name = rmd_asprintf("%s.%s", from->module->prefix, task->name);
	if (function == NULL || function->name == NULL) {
		rmd_free(function);
		*ret_err = module_error(from->path, "out of memory");
		return NULL;
	}
	function->task = task;
	function->module = module;
	function->name_len = strlen(function->name);
	function->hash = hash_of(rmd_slice_of(function->name, function->name_len));
	struct remuda_error *err =
		function->name_len > RMD_FUNCTION_NAME_MAX
			? module_error(from->path, "a function's name is over 512 bytes")
			: resolve_messages(function, from->path);
	if (err == NULL)
		return function;
	rmd_function_free(function);
	*ret_err = err;
	return NULL;
}

static struct remuda_error *add_function(struct rmd_functions *functions, size_t module,
					 const struct remuda_task *task)
{
	const struct rmd_loaded_module *from = &functions->modules[module];
	struct remuda_error *err = NULL;
	if (grow(functions) < 0)
		return module_error(from->path, "out of memory");
	struct rmd_function *function = rmd_functions_make(functions, module, task, &err);
	if (function == NULL)
		return err;
	struct rmd_function **place =
		place_of(functions, rmd_slice_of(function->name, function->name_len),
			 function->hash);
	if (*place != NULL)
		err = remuda_error_create(
			"ModuleError",
			"module %s: function %s (%s:%u) is already in module %s (%s:%u)",
			from->path, function->name, task->file, (unsigned)task->line,
			functions->modules[(*place)->module].path, (*place)->task->file,
			(unsigned)(*place)->task->line);
	if (err == NULL) {
		*place = function;
		functions->count++;
		return NULL;
	}
	rmd_function_free(function);
	return err;
}

/* Why `module` can't be used at all, or NULL. */
static struct remuda_error *module_fault(const char *path,
					 const struct remuda_module *module)
{
	if (module->abi_version != REMUDA_ABI_VERSION)
		return remuda_error_create(
			"ModuleError",
			"module %s: built for version %u of remuda/task.h, this "
			"worker speaks version %u: build the module again",
			path, (unsigned)module->abi_version, REMUDA_ABI_VERSION);
	if (module->size < sizeof *module)
		return module_error(path, "its description is too short: build it again");
	if (!prefix_valid(module->prefix))
		return module_error(
			path,
			"REMUDA_MODULE's prefix must be 1 to 128 of [A-Za-z0-9_.-]");
	if (module->tasks == module->tasks_end || module->tasks == NULL)
		return module_error(path,
				    "no function in it is declared with REMUDA_TASK");
	if (module->tasks_end < module->tasks ||
	    (size_t)(module->tasks_end - module->tasks) > TASKS_MAX)
		return module_error(path, "its section of functions makes no sense");
	return NULL;
}

int rmd_functions_adopt(struct rmd_functions *functions, const char *path,
			const struct remuda_module *module)
{
	struct rmd_loaded_module *modules = rmd_realloc(
		functions->modules, (functions->module_count + 1) * sizeof *modules);
	if (modules != NULL)
		functions->modules = modules;
	char *copy = rmd_strdup(path);
	if (modules == NULL || copy == NULL) {
		rmd_free(copy);
		return RMD_ENOMEM;
	}
	modules[functions->module_count] = (struct rmd_loaded_module){.path = copy, .module = module};
	functions->module_count++;
	return 0;
}

int rmd_functions_add(struct rmd_functions *functions, const char *path,
		      const struct remuda_module *module, struct remuda_error **ret_err)
{
	for (size_t i = 0; i < functions->module_count; i++)
		if (functions->modules[i].module == module)
			return 0; /* the same file, named twice */
	struct remuda_error *err = module_fault(path, module);
	if (err == NULL && rmd_functions_adopt(functions, path, module) < 0)
		err = module_error(path, "out of memory");
	if (err != NULL) {
		*ret_err = err;
		return RMD_EINVAL;
	}
	for (const struct remuda_task *const *at = module->tasks; at < module->tasks_end;
	     at++) {
		err = *at == NULL
			      ? NULL
			      : add_function(functions, functions->module_count - 1, *at);
		if (err != NULL) {
			*ret_err = err;
			forget_last_module(functions);
			return RMD_EINVAL;
		}
	}
	return 0;
}

/* The loader's words, with the module's name where they begin with our path to it. */
static struct remuda_error *load_error(const char *path, const char *shown)
{
	const char *reason = dlerror();
	size_t len = strlen(path);
	if (reason == NULL)
		return remuda_error_create("LoadError", "dlopen gives no reason");
	if (strncmp(reason, path, len) == 0)
		return remuda_error_create("LoadError", "%s%s", shown, reason + len);
	return remuda_error_create("LoadError", "%s", reason);
}

int rmd_functions_load(struct rmd_functions *functions, const char *path,
		       struct remuda_error **ret_err)
{
	char name[PATH_MAX];
	bool pushed = rmd_functions_pushed(path, name);
	const char *shown = pushed ? name : path;
	size_t before = functions->module_count;
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL) {
		*ret_err = remuda_error_wrap(load_error(path, shown), "ModuleError",
					     "module %s: cannot be loaded", shown);
		return RMD_EINVAL;
	}
	rmd_catch_note_images();
	const struct remuda_module *module = dlsym(handle, REMUDA_MODULE_SYMBOL);
	if (module == NULL) {
		*ret_err = module_error(shown, "it is no module of remuda: it has no "
					      "symbol " REMUDA_MODULE_SYMBOL
					      " (put REMUDA_MODULE(\"name\"); in it)");
		return RMD_EINVAL;
	}
	if (!pushed && module->abi_version == REMUDA_ABI_VERSION && module->prefix != NULL &&
	    rmd_functions_prefix_pushed(functions, module->prefix))
		return 0;
	int rc = rmd_functions_add(functions, shown, module, ret_err);
	if (rc == 0 && functions->module_count > before)
		functions->modules[before].pushed = pushed;
	return rc;
}

void rmd_functions_fini(struct rmd_functions *functions)
{
	for (size_t i = 0; i < functions->table_size; i++) {
		if (functions->table[i] != NULL)
			rmd_free(functions->table[i]->name);
		rmd_free(functions->table[i]);
	}
	for (size_t i = 0; i < functions->module_count; i++)
		rmd_free(functions->modules[i].path);
	for (size_t i = 0; i < functions->fault_count; i++)
		remuda_error_free(functions->faults[i].err);
	rmd_free(functions->faults);
	rmd_free(functions->table);
	rmd_free(functions->modules);
	*functions = (struct rmd_functions){0};
}

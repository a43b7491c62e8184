/* A stand-in for the NVIDIA driver's libnvidia-ml.so.1: the entry points that `volunteer.hardware` calls through pynvml.
 *
 * What it answers is chosen by environment variables:
 *   FAKE_NVML_INIT    "crash", "abort", "hang", "chatter" (prints to standard output), or the code that nvmlInit returns
 *   FAKE_NVML_COUNT   number of cards
 *   FAKE_NVML_AT_EXIT "crash": the library crashes when the process leaves
 *   FAKE_NVML_DRIVER  driver version
 *   FAKE_NVML_<card>_<READING>, readings HANDLE, NAME, UUID, TOTAL, FREE, TEMPERATURE, POWER, LIMIT, UTILISATION:
 *                     the value in NVML's unit, or "error <code>"
 * A reading without a variable is not supported by the card.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7 };

typedef int result_t;
typedef struct { int card; } *device_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned gpu, memory; } utilisation_t;

static struct { int card; } devices[16];

static result_t crash(void) {
    raise(SIGSEGV);
    return SUCCESS;
}

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value == NULL ? "" : value;
}

static result_t copy(const char *value, char *buffer, unsigned size) {
    if (strlen(value) >= size) return INSUFFICIENT_SIZE;
    strcpy(buffer, value);
    return SUCCESS;
}

/* The text of a reading, or the error that the card answers instead. */
static result_t reading(int card, const char *what, const char **value) {
    char name[64];
    int code;
    snprintf(name, sizeof name, "FAKE_NVML_%d_%s", card, what);
    *value = getenv(name);
    if (*value == NULL) return NOT_SUPPORTED;
    return sscanf(*value, "error %d", &code) == 1 ? code : SUCCESS;
}

static result_t text(device_t device, const char *what, char *buffer, unsigned size) {
    const char *value;
    result_t result = reading(device->card, what, &value);
    return result == SUCCESS ? copy(value, buffer, size) : result;
}

static result_t number(device_t device, const char *what, unsigned long long *out) {
    const char *value;
    result_t result = reading(device->card, what, &value);
    if (result == SUCCESS) *out = strtoull(value, NULL, 10);
    return result;
}

static result_t small_number(device_t device, const char *what, unsigned *out) {
    unsigned long long value = 0;
    result_t result = number(device, what, &value);
    if (result == SUCCESS) *out = (unsigned)value;
    return result;
}

__attribute__((destructor)) static void leave(void) {
    if (strcmp(setting("FAKE_NVML_AT_EXIT"), "crash") == 0) crash();
}

result_t nvmlInitWithFlags(unsigned flags) {
    const char *behaviour = setting("FAKE_NVML_INIT");
    (void)flags;
    if (strcmp(behaviour, "crash") == 0) return crash();
    if (strcmp(behaviour, "abort") == 0) abort();
    if (strcmp(behaviour, "chatter") == 0) printf("{\"gpus\": \"a driver that talks\"}\n");
    if (strcmp(behaviour, "hang") == 0) {
        const char *fifo = getenv("FAKE_NVML_HUNG_FIFO"); /* told when the hang begins */
        if (fifo != NULL) {
            FILE *file = fopen(fifo, "w");
            if (file != NULL) {
                fprintf(file, "%d\n", (int)getpid());
                fclose(file);
            }
        }
        for (;;) pause();
    }
    return atoi(behaviour);
}

result_t nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(result_t result) {
    static char words[32];
    snprintf(words, sizeof words, "fake error %d", result);
    return words;
}

result_t nvmlSystemGetDriverVersion(char *version, unsigned size) {
    const char *value = getenv("FAKE_NVML_DRIVER");
    return value == NULL ? NOT_SUPPORTED : copy(value, version, size);
}

result_t nvmlDeviceGetCount_v2(unsigned *count) {
    *count = (unsigned)atoi(setting("FAKE_NVML_COUNT"));
    return SUCCESS;
}

result_t nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *device) {
    const char *value;
    result_t result = reading((int)index, "HANDLE", &value);
    if (result != SUCCESS && result != NOT_SUPPORTED) return result;
    devices[index].card = (int)index;
    *device = (device_t)&devices[index];
    return SUCCESS;
}

result_t nvmlDeviceGetName(device_t device, char *name, unsigned size) { return text(device, "NAME", name, size); }

result_t nvmlDeviceGetUUID(device_t device, char *uuid, unsigned size) { return text(device, "UUID", uuid, size); }

result_t nvmlDeviceGetMemoryInfo(device_t device, memory_t *memory) {
    result_t result = number(device, "TOTAL", &memory->total);
    if (result == SUCCESS) result = number(device, "FREE", &memory->free);
    memory->used = memory->total - memory->free;
    return result;
}

result_t nvmlDeviceGetTemperature(device_t device, int sensor, unsigned *celsius) {
    (void)sensor;
    return small_number(device, "TEMPERATURE", celsius);
}

result_t nvmlDeviceGetPowerUsage(device_t device, unsigned *milliwatts) {
    return small_number(device, "POWER", milliwatts);
}

result_t nvmlDeviceGetEnforcedPowerLimit(device_t device, unsigned *milliwatts) {
    return small_number(device, "LIMIT", milliwatts);
}

result_t nvmlDeviceGetUtilizationRates(device_t device, utilisation_t *utilisation) {
    return small_number(device, "UTILISATION", &utilisation->gpu);
}

#include "pkcs11/module.hpp"

#include "pkcs11/error.hpp"
#include "pkcs11/process.hpp"
#include "pkcs11/refused_pins.hpp"

#include <atomic>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>

namespace stek::pkcs11 {
namespace {

/// SOFTHSM2_CONF for the length of C_Initialize, which is when SoftHSM reads it.
class ScopedSofthsmConf {
  public:
    explicit ScopedSofthsmConf(const std::string& path) : set_(!path.empty()) {
        if (!set_) {
            return;
        }
        if (const char* before = std::getenv(name)) {
            before_ = before;
        }
        if (before_ == path) {
            set_ = false;  // other threads may read the environment: leave it alone if it is right
            return;
        }
        setenv(name, path.c_str(), 1);
    }
    ScopedSofthsmConf(const ScopedSofthsmConf&) = delete;
    ScopedSofthsmConf& operator=(const ScopedSofthsmConf&) = delete;
    ~ScopedSofthsmConf() {
        if (set_ && before_) {
            setenv(name, before_->c_str(), 1);
        } else if (set_) {
            unsetenv(name);
        }
    }

  private:
    static constexpr const char* name = "SOFTHSM2_CONF";
    bool set_;
    std::optional<std::string> before_;
};

CK_FUNCTION_LIST* function_list(void* handle, const std::string& path) {
    const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(handle, "C_GetFunctionList"));
    if (get == nullptr) {
        throw ModuleError(path + " is not a PKCS#11 module: no C_GetFunctionList");
    }
    CK_FUNCTION_LIST* functions = nullptr;
    const CK_RV rv = get(&functions);
    if (rv != CKR_OK || functions == nullptr) {
        throw ModuleError(path + " is not a usable PKCS#11 module: C_GetFunctionList: " + rv_name(rv));
    }
    if (functions->version.major < 2) {
        throw ModuleError(path + " speaks a Cryptoki older than 2.0");
    }
    return functions;
}

/// OpenSSL frees providers, and with them sessions, in an exit handler of its own, when a module's static
/// objects are gone already: a C_CloseSession then crashes SoftHSM (seen with the openssl command).
std::atomic<bool> exiting = false;

}  // namespace

std::shared_ptr<const Library> Library::map(const std::string& path) {
    // Never destroyed: a server's exit handlers may still seal a ticket.
    static auto& mutex = *new std::mutex;
    static auto& known = *new std::map<std::string, std::shared_ptr<const Library>>;
    if (path.empty() || path.front() != '/') {
        throw ModuleError("module-path \"" + path + "\" is not an absolute path of a PKCS#11 module");
    }
    RefusedPins::shared();  // here, because servers map the module before they fork
    const std::lock_guard lock(mutex);
    if (const auto found = known.find(path); found != known.end()) {
        return found->second;
    }
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == nullptr) {
        const char* reason = dlerror();
        throw ModuleError("module-path " + path +
                          " cannot be loaded: " + (reason ? reason : "unknown reason"));
    }
    auto library = std::make_shared<const Library>(path, function_list(handle, path));
    known.emplace(path, library);
    return library;
}

Module::Module(std::shared_ptr<const Library> library, ProcessNumber process)
    : library_(std::move(library)), process_(process) {}

std::shared_ptr<Module> Module::initialize(std::shared_ptr<const Library> library,
                                           const std::string& softhsm_conf) {
    if (!softhsm_conf.empty()) {
        // Read without end, /dev/zero would hold up a handshake for ever; a missing one is SoftHSM's to tell.
        std::error_code error;
        const auto there = std::filesystem::status(softhsm_conf, error);
        if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there)) {
            throw ModuleError("the module's configuration " + softhsm_conf + " is not a regular file");
        }
    }
    static auto& mutex = *new std::mutex;
    const std::lock_guard lock(mutex);
    // Made first: an initialised module that nobody holds, for lack of memory, would be taken for another's.
    auto module = std::shared_ptr<Module>(new Module(std::move(library), this_process()));
    const Library& mapped = *module->library_;
    CK_RV rv;
    {
        const ScopedSofthsmConf conf(softhsm_conf);
        CK_C_INITIALIZE_ARGS args{};
        args.flags = CKF_OS_LOCKING_OK;
        rv = mapped.functions().C_Initialize(&args);
    }
    if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
        throw Error("C_Initialize of the module " + mapped.path(), rv);
    }
    // Registered after the module was loaded, so it runs before the module's own destructors.
    [[maybe_unused]] static const int registered =
        std::atexit([] { exiting.store(true, std::memory_order_release); });
    const bool still_ours = mapped.not_finalized_in_.exchange(0) == this_process();
    module->ours_ = rv == CKR_OK || still_ours;
    return module;
}

bool Module::usable_here() const noexcept {
    return !dead_.load(std::memory_order_acquire) && !exiting.load(std::memory_order_acquire) &&
           process_ == this_process();
}

bool Module::finalize() noexcept {
    if (!ours_ || process_ != this_process() || dead_.exchange(true)) {
        return false;
    }
    const CK_RV rv = functions().C_Finalize(nullptr);
    if (rv != CKR_OK && rv != CKR_CRYPTOKI_NOT_INITIALIZED) {
        library_->not_finalized_in_.store(process_);
    }
    return true;
}

}  // namespace stek::pkcs11

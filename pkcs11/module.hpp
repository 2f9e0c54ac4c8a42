// A PKCS#11 module: mapping it, and initialising it in the process that uses it.
#pragma once

#include "pkcs11/cryptoki.hpp"
#include "pkcs11/process.hpp"

#include <atomic>
#include <memory>
#include <string>

#include <sys/types.h>

namespace stek::pkcs11 {

/// A module that is mapped but maybe not initialised. Never unmapped: servers fork, and the module's threads
/// and atexit handlers may outlive us. Mapping early matters: after a chroot the file is gone.
class Library {
  public:
    /// dlopen() and C_GetFunctionList. Throws ModuleError (no such file, not a module) naming the path.
    /// Thread-safe; the same path gives the same object.
    static std::shared_ptr<const Library> map(const std::string& path);
    [[nodiscard]] CK_FUNCTION_LIST& functions() const noexcept { return *functions_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    Library(std::string path, CK_FUNCTION_LIST* functions) : path_(std::move(path)), functions_(functions) {}

  private:
    friend class Module;
    /// The process in which we initialised it and C_Finalize failed: it is still ours to finalise there.
    mutable std::atomic<ProcessNumber> not_finalized_in_ = 0;
    std::string path_;
    CK_FUNCTION_LIST* functions_;
};

/// A module initialised in this process. Others in the process may use the same module: the finalising is
/// done only by the one that initialised it, and only when asked. Thread-safe (CKF_OS_LOCKING_OK).
class Module {
  public:
    /// C_Initialize; CKR_CRYPTOKI_ALREADY_INITIALIZED is fine and remembered, unless it is because our own
    /// C_Finalize had failed. `softhsm_conf`, when not empty, is SOFTHSM2_CONF around the call (nginx clears
    /// its environment). Throws ModuleError if that is not a regular file, Error, std::bad_alloc; the module
    /// is then as it was.
    static std::shared_ptr<Module> initialize(std::shared_ptr<const Library> library,
                                              const std::string& softhsm_conf = {});
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;
    ~Module() = default;  // never finalises: C_Finalize breaks other users in the process

    [[nodiscard]] CK_FUNCTION_LIST& functions() const noexcept { return library_->functions(); }
    [[nodiscard]] const Library& library() const noexcept { return *library_; }
    /// False in a child that was forked after initialize(): handles are the parent's, no call may be made
    /// with them.
    [[nodiscard]] bool usable_here() const noexcept;
    [[nodiscard]] bool initialized_by_us() const noexcept { return ours_; }
    /// C_Finalize if we initialised it in this process; all sessions must be gone. The object is dead
    /// afterwards. SoftHSM sees a token made after its C_Initialize only when initialised anew. Returns
    /// false, doing nothing, if the module was another's.
    bool finalize() noexcept;

  private:
    Module(std::shared_ptr<const Library> library, ProcessNumber process);
    std::shared_ptr<const Library> library_;
    bool ours_ = false;
    std::atomic<bool> dead_ = false;
    ProcessNumber process_;
};

}  // namespace stek::pkcs11

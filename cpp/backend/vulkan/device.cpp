#include "backend/vulkan/device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "backend/vulkan/instance.h"
#include "errors.h"

namespace qwen3moe::vulkan {
namespace {

std::uint32_t compute_family(VkPhysicalDevice device) {
    std::uint32_t count = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
    std::vector<VkQueueFamilyProperties> families(count);
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
    for (std::uint32_t i = 0; i < count; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) return i;
    throw DeviceError("Vulkan: the device has no compute queue");
}

bool has_extension(VkPhysicalDevice device, const char* name) {
    std::uint32_t count = 0;
    check(vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr), "counting extensions");
    std::vector<VkExtensionProperties> all(count);
    check(vkEnumerateDeviceExtensionProperties(device, nullptr, &count, all.data()), "listing extensions");
    return std::ranges::any_of(all, [&](const auto& e) { return std::strcmp(e.extensionName, name) == 0; });
}

template <class Properties>
Properties more_properties(VkPhysicalDevice device, VkStructureType type) {
    Properties more{};
    more.sType = type;
    VkPhysicalDeviceProperties2 all{};
    all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    all.pNext = &more;
    vkGetPhysicalDeviceProperties2(device, &all);
    return more;
}

// Where all widths must share one rounding mode, declaring it for 32 bits alone is not allowed.
FloatModes float_modes_of(VkPhysicalDevice device) {
    const auto more = more_properties<VkPhysicalDeviceVulkan12Properties>(
        device, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES);
    const bool separate = more.roundingModeIndependence != VK_SHADER_FLOAT_CONTROLS_INDEPENDENCE_NONE;
    return {more.shaderRoundingModeRTEFloat32 && separate, more.shaderSignedZeroInfNanPreserveFloat32 == VK_TRUE};
}

constexpr std::uint32_t kWorkgroups = 264;  // two for each processor of a large GPU: kernels/PERFORMANCE.md

// QWEN3MOE_VULKAN_AS=gpu or =processor says otherwise than the device, for tests.
Style style_of(VkPhysicalDevice device) {
    bool processor = properties_of(device).deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    bool packed = more_properties<VkPhysicalDeviceVulkan13Properties>(
                      device, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES)
                      .integerDotProduct4x8BitPackedSignedAccelerated == VK_TRUE;
    if (const char* as = std::getenv("QWEN3MOE_VULKAN_AS")) {
        processor = std::strcmp(as, "processor") == 0;
        packed = !processor;
    }
    return {packed, processor ? 64u : 256u, processor ? 4u : kWorkgroups};
}

Limits limits_of(VkPhysicalDevice device) {
    // Offsets within a piece of memory stay in 32 bits, as shaders count them.
    constexpr VkDeviceSize kMost = VkDeviceSize(4) << 30;
    const auto more = more_properties<VkPhysicalDeviceVulkan13Properties>(
        device, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES);
    const auto in11 = more_properties<VkPhysicalDeviceVulkan11Properties>(
        device, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES);
    const VkPhysicalDeviceProperties properties = properties_of(device);
    const std::uint32_t* groups = properties.limits.maxComputeWorkGroupCount;
    const bool software = properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    return {properties.limits.maxStorageBufferRange,
            std::min({in11.maxMemoryAllocationSize, more.maxBufferSize, kMost}),
            {groups[0], groups[1], groups[2]},
            properties.limits.maxComputeSharedMemorySize,
            static_cast<double>(properties.limits.timestampPeriod),
            software ? 0u : 10'000'000u};
}

VkDevice make(VkPhysicalDevice physical, std::uint32_t family, bool budget) {
    const float priority = 1.0f;
    VkDeviceQueueCreateInfo queue{};
    queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
    queue.queueFamilyIndex = family;
    queue.queueCount = 1;
    queue.pQueuePriorities = &priority;
    VkPhysicalDeviceVulkan13Features in13{};
    in13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
    in13.maintenance4 = VK_TRUE;  // shaders give their group's size as SPIR-V 1.6 does
    in13.shaderIntegerDotProduct = VK_TRUE;
    VkPhysicalDeviceVulkan12Features in12{};
    in12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    in12.pNext = &in13;
    in12.bufferDeviceAddress = VK_TRUE;
    const char* extensions[] = {VK_EXT_MEMORY_BUDGET_EXTENSION_NAME};
    VkDeviceCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
    info.pNext = &in12;
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue;
    info.enabledExtensionCount = budget ? 1 : 0;
    info.ppEnabledExtensionNames = extensions;
    VkDevice device = VK_NULL_HANDLE;
    check(vkCreateDevice(physical, &info, nullptr, &device), "opening the device");
    return device;
}

}  // namespace

// Kept for as long as the process lives: making one, and compiling for it, takes longer than opening a small model.
std::shared_ptr<Device> Device::open(std::uint32_t number) {
    require_opened_here();
    static std::mutex turn;
    static auto& opened = *new std::map<std::uint32_t, std::shared_ptr<Device>>;
    const std::lock_guard lock(turn);
    std::shared_ptr<Device>& device = opened[number];
    if (!device || device->lost_) device = std::make_shared<Device>(instance().devices.at(number));
    return device;
}

Device::Device(VkPhysicalDevice physical)
    : physical_(physical),
      float_modes_(float_modes_of(physical)),
      limits_(limits_of(physical)),
      has_budget_(has_extension(physical, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME)),
      style_(style_of(physical)),
      family_(compute_family(physical)),
      device_{make(physical, family_, has_budget_)},
      pipeline_cache_(handle(), vkDestroyPipelineCache) {
    vkGetDeviceQueue(handle(), family_, 0, &queue_);
    VkPipelineCacheCreateInfo cache{};
    cache.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO;
    check(vkCreatePipelineCache(handle(), &cache, nullptr, pipeline_cache_.put()), "making a pipeline cache");
}

std::uint32_t Device::memory_type(std::uint32_t allowed, VkMemoryPropertyFlags properties) const {
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(physical_, &memory);
    for (std::uint32_t i = 0; i < memory.memoryTypeCount; i++)
        if ((allowed >> i & 1) && (memory.memoryTypes[i].propertyFlags & properties) == properties) return i;
    return ~0u;
}

void Device::require_free(std::uint64_t bytes, const std::string& what) const {
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{};
    budget.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT;
    VkPhysicalDeviceMemoryProperties2 memory{};
    memory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
    memory.pNext = has_budget_ ? &budget : nullptr;
    vkGetPhysicalDeviceMemoryProperties2(physical_, &memory);
    const std::uint32_t type = memory_type(~0u, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
    const std::uint32_t heap = memory.memoryProperties.memoryTypes[type].heapIndex;
    const std::uint64_t all = memory.memoryProperties.memoryHeaps[heap].size;
    const std::uint64_t most = has_budget_ ? budget.heapBudget[heap] : all;
    const std::uint64_t used = has_budget_ ? budget.heapUsage[heap] : taken_.load();
    const std::uint64_t available = most > used ? most - used : 0;
    const std::uint64_t allowed = available / 100 * 95;
    if (bytes > allowed)
        throw OutOfMemoryError(what + " needs " + std::to_string(bytes) + " bytes on the device; " +
                               std::to_string(available) +
                               " are free, of which 95 % may be used: " + std::to_string(allowed));
}

const Pipeline& Device::pipeline(const PipelineKey& key) {
    const std::lock_guard turn(pipelines_turn_);
    const auto found = pipelines_.find(key);
    return found != pipelines_.end() ? found->second : pipelines_.try_emplace(key, *this, key).first->second;
}

const PipelineLayout& Device::layout(std::uint32_t buffers) {
    return layouts_.try_emplace(buffers, *this, buffers).first->second;
}

void Device::require_usable() const {
    require_opened_here();
    if (lost_) throw DeviceError("Vulkan: the device was lost; open the model again");
}

void Device::submit(VkCommandBuffer commands, VkFence fence, const char* doing) {
    VkSubmitInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    info.commandBufferCount = 1;
    info.pCommandBuffers = &commands;
    const std::lock_guard turn(queue_turn_);
    const VkResult result = vkQueueSubmit(queue_, 1, &info, fence);
    if (result == VK_ERROR_DEVICE_LOST) lost_ = true;
    check(result, doing);
}

bool Device::done(VkFence fence, std::uint64_t nanoseconds, const char* doing) {
    const VkResult result =
        nanoseconds ? vkWaitForFences(handle(), 1, &fence, VK_TRUE, nanoseconds) : vkGetFenceStatus(handle(), fence);
    if (result == VK_TIMEOUT || result == VK_NOT_READY) return false;
    if (result == VK_ERROR_DEVICE_LOST) lost_ = true;
    check(result, doing);
    return true;
}

}  // namespace qwen3moe::vulkan

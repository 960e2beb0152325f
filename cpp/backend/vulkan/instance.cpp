#include "backend/vulkan/instance.h"

#include <algorithm>

#include "backend/vulkan.h"

namespace qwen3moe::vulkan {
namespace {

// A processor that plays a GPU comes last: what runs on it, the CPU back end does better.
int preference(VkPhysicalDevice device) {
    switch (properties_of(device).deviceType) {
        case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
            return 0;
        case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
            return 1;
        case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
            return 2;
        case VK_PHYSICAL_DEVICE_TYPE_CPU:
            return 4;
        default:
            return 3;
    }
}

// What a device lacks that every shader counts on; empty: nothing.
std::string lacking(VkPhysicalDevice device) {
    const VkPhysicalDeviceProperties properties = properties_of(device);
    if (properties.apiVersion < VK_API_VERSION_1_3) return "Vulkan 1.3; a newer driver may have it";
    VkPhysicalDeviceVulkan13Features in13{};
    in13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
    VkPhysicalDeviceVulkan12Features in12{};
    in12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    in12.pNext = &in13;
    VkPhysicalDeviceFeatures2 features{};
    features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    features.pNext = &in12;
    vkGetPhysicalDeviceFeatures2(device, &features);
    if (!in12.bufferDeviceAddress) return "the feature bufferDeviceAddress";
    if (!in13.shaderIntegerDotProduct) return "the feature shaderIntegerDotProduct";
    if (!in13.maintenance4) return "the feature maintenance4";
    if (properties.limits.maxComputeWorkGroupInvocations < 256) return "workgroups of 256";
    if (properties.limits.maxComputeSharedMemorySize < 32768) return "32 KB of shared memory";
    if (properties.limits.maxPerStageDescriptorStorageBuffers < 10) return "10 storage buffers of a shader";
    return {};
}

Instance make_instance() {
    Instance made;
    if (volkInitialize() != VK_SUCCESS) {
        made.reason = "no Vulkan loader (libvulkan.so.1) is installed";
        return made;
    }
    VkApplicationInfo application{};
    application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
    application.pApplicationName = "qwen3moe";
    application.apiVersion = VK_API_VERSION_1_3;  // not 1.4, with which drivers contract other operations
    VkInstanceCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
    info.pApplicationInfo = &application;
    VkInstance handle = VK_NULL_HANDLE;
    if (const VkResult result = vkCreateInstance(&info, nullptr, &handle); result != VK_SUCCESS) {
        made.reason = result == VK_ERROR_INCOMPATIBLE_DRIVER
                          ? "the Vulkan loader finds no driver"
                          : "the Vulkan loader made no instance (VkResult " + std::to_string(result) + ")";
        return made;
    }
    volkLoadInstance(handle);

    std::uint32_t count = 0;
    check(vkEnumeratePhysicalDevices(handle, &count, nullptr), "counting the devices");
    std::vector<VkPhysicalDevice> all(count);
    check(vkEnumeratePhysicalDevices(handle, &count, all.data()), "listing the devices");
    for (VkPhysicalDevice device : all) {
        if (const std::string lack = lacking(device); lack.empty())
            made.devices.push_back(device);
        else
            made.reason = std::string(properties_of(device).deviceName) + " lacks " + lack;
    }
    if (all.empty()) made.reason = "the Vulkan loader finds no device";
    std::ranges::stable_sort(made.devices, {}, preference);
    return made;
}

}  // namespace

const Instance& instance() {
    static const Instance made = make_instance();
    return made;
}

VkPhysicalDeviceProperties properties_of(VkPhysicalDevice device) {
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(device, &properties);
    return properties;
}

Devices devices() {
    if (!opened_here()) return {{}, "this process was forked from one that had opened Vulkan; start it with spawn"};
    Devices found;
    for (VkPhysicalDevice device : instance().devices) {
        const bool software = properties_of(device).deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
        found.names.emplace_back(properties_of(device).deviceName);
        found.software.push_back(software);
    }
    found.reason = instance().reason;
    return found;
}

}  // namespace qwen3moe::vulkan

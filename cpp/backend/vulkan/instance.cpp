#include "backend/vulkan/instance.h"

#include "backend/vulkan.h"

namespace qwen3moe::vulkan {
namespace {

VkPhysicalDeviceProperties properties_of(VkPhysicalDevice device) {
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(device, &properties);
    return properties;
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
        if (properties_of(device).apiVersion >= VK_API_VERSION_1_3)
            made.devices.push_back(device);
        else
            made.reason = std::string(properties_of(device).deviceName) + " has no Vulkan 1.3; a newer driver may";
    }
    if (all.empty()) made.reason = "the Vulkan loader finds no device";
    return made;
}

}  // namespace

const Instance& instance() {
    static const Instance made = make_instance();
    return made;
}

Devices devices() {
    Devices found;
    for (VkPhysicalDevice device : instance().devices) found.names.emplace_back(properties_of(device).deviceName);
    found.reason = instance().reason;
    return found;
}

}  // namespace qwen3moe::vulkan

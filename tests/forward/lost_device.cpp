// A Vulkan layer that loses the device at the first submission after LOSE is set in the environment.
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

PFN_vkGetInstanceProcAddr next_of_instance;
PFN_vkGetDeviceProcAddr next_of_device;
PFN_vkQueueSubmit next_submit;

// The link to the next layer, out of what the loader hands over; the one after this layer is left for it.
template <class Link>
Link* take_link(const void* chain, VkStructureType type) {
    for (auto* at = static_cast<const Link*>(chain); at; at = static_cast<const Link*>(at->pNext))
        if (at->sType == type && at->function == VK_LAYER_LINK_INFO) return const_cast<Link*>(at);
    std::abort();
}

VkResult create_instance(const VkInstanceCreateInfo* info, const VkAllocationCallbacks* host, VkInstance* instance) {
    auto* link = take_link<VkLayerInstanceCreateInfo>(info->pNext, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO);
    next_of_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    return reinterpret_cast<PFN_vkCreateInstance>(next_of_instance(nullptr, "vkCreateInstance"))(info, host, instance);
}

VkResult create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo* info, const VkAllocationCallbacks* host,
                       VkDevice* device) {
    auto* link = take_link<VkLayerDeviceCreateInfo>(info->pNext, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO);
    const auto of_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    next_of_device = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    const auto create = reinterpret_cast<PFN_vkCreateDevice>(of_instance(nullptr, "vkCreateDevice"));
    const VkResult result = create(physical, info, host, device);
    if (result == VK_SUCCESS)
        next_submit = reinterpret_cast<PFN_vkQueueSubmit>(next_of_device(*device, "vkQueueSubmit"));
    return result;
}

VkResult submit(VkQueue queue, std::uint32_t count, const VkSubmitInfo* work, VkFence fence) {
    if (std::getenv("LOSE")) return VK_ERROR_DEVICE_LOST;
    return next_submit(queue, count, work, fence);
}

PFN_vkVoidFunction own(const char* name) {
    if (std::strcmp(name, "vkCreateInstance") == 0) return reinterpret_cast<PFN_vkVoidFunction>(create_instance);
    if (std::strcmp(name, "vkCreateDevice") == 0) return reinterpret_cast<PFN_vkVoidFunction>(create_device);
    if (std::strcmp(name, "vkQueueSubmit") == 0) return reinterpret_cast<PFN_vkVoidFunction>(submit);
    return nullptr;
}

}  // namespace

extern "C" PFN_vkVoidFunction vkGetDeviceProcAddr(VkDevice device, const char* name) {
    const PFN_vkVoidFunction found = own(name);
    return found ? found : next_of_device(device, name);
}

extern "C" PFN_vkVoidFunction vkGetInstanceProcAddr(VkInstance instance, const char* name) {
    if (std::strcmp(name, "vkGetDeviceProcAddr") == 0) return reinterpret_cast<PFN_vkVoidFunction>(vkGetDeviceProcAddr);
    const PFN_vkVoidFunction found = own(name);
    return found ? found : next_of_instance(instance, name);
}

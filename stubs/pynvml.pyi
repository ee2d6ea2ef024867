# Written by scripts/make_stubs.py from tests/surfaces; `make stubs` writes it anew.
# ruff: noqa
# What derives from a class in C++ may take something else there, which Python's types call wrong.
# mypy: disable-error-code="override, assignment, overload-cannot-match"
import builtins
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, IntEnum
from typing import Protocol, overload
from typing_extensions import Buffer

class NVMLError(Exception):
    value: builtins.int
class NVMLError_AlreadyInitialized(NVMLError):
    ...
class NVMLError_ArgumentVersionMismatch(NVMLError):
    ...
class NVMLError_CorruptedInforom(NVMLError):
    ...
class NVMLError_Deprecated(NVMLError):
    ...
class NVMLError_DriverNotLoaded(NVMLError):
    ...
class NVMLError_FreqNotSupported(NVMLError):
    ...
class NVMLError_FunctionNotFound(NVMLError):
    ...
class NVMLError_GpuIsLost(NVMLError):
    ...
class NVMLError_GpuNotFound(NVMLError):
    ...
class NVMLError_InUse(NVMLError):
    ...
class NVMLError_InsufficientPower(NVMLError):
    ...
class NVMLError_InsufficientResources(NVMLError):
    ...
class NVMLError_InsufficientSize(NVMLError):
    ...
class NVMLError_InvalidArgument(NVMLError):
    ...
class NVMLError_InvalidState(NVMLError):
    ...
class NVMLError_IrqIssue(NVMLError):
    ...
class NVMLError_LibRmVersionMismatch(NVMLError):
    ...
class NVMLError_LibraryNotFound(NVMLError):
    ...
class NVMLError_Memory(NVMLError):
    ...
class NVMLError_NoData(NVMLError):
    ...
class NVMLError_NoPermission(NVMLError):
    ...
class NVMLError_NotFound(NVMLError):
    ...
class NVMLError_NotReady(NVMLError):
    ...
class NVMLError_NotSupported(NVMLError):
    ...
class NVMLError_OperatingSystem(NVMLError):
    ...
class NVMLError_ResetRequired(NVMLError):
    ...
class NVMLError_ResetTypeNotSupported(NVMLError):
    ...
class NVMLError_Timeout(NVMLError):
    ...
class NVMLError_Uninitialized(NVMLError):
    ...
class NVMLError_Unknown(NVMLError):
    ...
class NVMLError_VgpuEccNotSupported(NVMLError):
    ...
class NVMLLibraryMismatchError(Exception):
    ...
class c_metricInfo_t:
    shortName: builtins.bytes
    longName: builtins.bytes
    unit: builtins.bytes
class c_nvmlAccountingStats_t:
    gpuUtilization: builtins.int
    memoryUtilization: builtins.int
    maxMemoryUsage: builtins.int
    time: builtins.int
    startTime: builtins.int
    isRunning: builtins.int
    reserved: builtins.object
class c_nvmlAccountingStats_v2_t:
    pid: builtins.int
    isRunning: builtins.int
    gpuUtilization: builtins.int
    memoryUtilization: builtins.int
    maxMemoryUsage: builtins.int
    sampleCount: builtins.int
    sumGpuUtil: builtins.int
    sumFbUtil: builtins.int
    time: builtins.int
    startTime: builtins.int
class c_nvmlActiveVgpuInstanceInfo_v1_t:
    version: builtins.int
    vgpuCount: builtins.int
    vgpuInstances: builtins.object
class c_nvmlAdaptiveTgpModeInfo_v1_t:
    inBandEnableRequest: builtins.int
    featureAllowedByAdmin: builtins.int
    adminOverrideEnabled: builtins.int
    enablementStatus: builtins.int
    adjustedLimitMw: builtins.int
class c_nvmlBAR1Memory_t:
    bar1Total: builtins.int
    bar1Free: builtins.int
    bar1Used: builtins.int
class c_nvmlBBXTimeData_v1_t:
    timeRun: builtins.int
class c_nvmlBridgeChipHierarchy_t:
    bridgeCount: builtins.int
    bridgeChipInfo: builtins.object
class c_nvmlBridgeChipInfo_t:
    type: builtins.int
    fwVersion: builtins.int
class c_nvmlC2cModeInfo_v1_t:
    isC2cEnabled: builtins.int
class c_nvmlCPERCursor_v1_t:
    cperTypeMask: builtins.int
    uuid: builtins.bytes
    handle: builtins.int
class c_nvmlClockOffset_t:
    version: builtins.int
    type: builtins.int
    pstate: builtins.int
    clockOffsetMHz: builtins.int
    minClockOffsetMHz: builtins.int
    maxClockOffsetMHz: builtins.int
class c_nvmlComputeInstanceInfo_t:
    device: builtins.object
    gpuInstance: builtins.object
    id: builtins.int
    profileId: builtins.int
    placement: c_nvmlComputeInstancePlacement_t
class c_nvmlComputeInstancePlacement_t:
    start: builtins.int
    size: builtins.int
class c_nvmlComputeInstanceProfileInfo_t:
    id: builtins.int
    sliceCount: builtins.int
    instanceCount: builtins.int
    multiprocessorCount: builtins.int
    sharedCopyEngineCount: builtins.int
    sharedDecoderCount: builtins.int
    sharedEncoderCount: builtins.int
    sharedJpegCount: builtins.int
    sharedOfaCount: builtins.int
class c_nvmlComputeInstanceProfileInfo_v2_t:
    def __init__(self) -> None: ...
    version: builtins.int
    id: builtins.int
    sliceCount: builtins.int
    instanceCount: builtins.int
    multiprocessorCount: builtins.int
    sharedCopyEngineCount: builtins.int
    sharedDecoderCount: builtins.int
    sharedEncoderCount: builtins.int
    sharedJpegCount: builtins.int
    sharedOfaCount: builtins.int
    name: builtins.bytes
class c_nvmlComputeInstance_t:
    ...
class c_nvmlConfComputeGetKeyRotationThresholdInfo_t:
    version: builtins.int
    attackerAdvantage: builtins.int
class c_nvmlConfComputeGpuAttestationReport_t:
    isCecAttestationReportPresent: builtins.int
    attestationReportSize: builtins.int
    cecAttestationReportSize: builtins.int
    nonce: builtins.object
    attestationReport: builtins.object
    cecAttestationReport: builtins.object
class c_nvmlConfComputeGpuCertificate_t:
    certChainSize: builtins.int
    attestationCertChainSize: builtins.int
    certChain: builtins.object
    attestationCertChain: builtins.object
class c_nvmlConfComputeMemSizeInfo_t:
    protectedMemSizeKib: builtins.int
    unprotectedMemSizeKib: builtins.int
class c_nvmlConfComputeSetKeyRotationThresholdInfo_t:
    version: builtins.int
    maxAttackerAdvantage: builtins.int
class c_nvmlConfComputeSystemCaps_t:
    cpuCaps: builtins.int
    gpusCaps: builtins.int
class c_nvmlConfComputeSystemState_t:
    environment: builtins.int
    ccFeature: builtins.int
    devToolsMode: builtins.int
class c_nvmlCoolerInfo_t:
    version: builtins.int
    index: builtins.int
    coolerControlType: builtins.int
    coolerTarget: builtins.int
class c_nvmlCoreRailMetrics_t:
    rails: builtins.object
class c_nvmlDeviceAddressingMode_t:
    def __init__(self) -> None: ...
    version: builtins.int
    value: builtins.int
class c_nvmlDeviceAttributes:
    multiprocessorCount: builtins.int
    sharedCopyEngineCount: builtins.int
    sharedDecoderCount: builtins.int
    sharedEncoderCount: builtins.int
    sharedJpegCount: builtins.int
    sharedOfaCount: builtins.int
    gpuInstanceSliceCount: builtins.int
    computeInstanceSliceCount: builtins.int
    memorySizeMB: builtins.int
class c_nvmlDeviceCapabilities_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    capMask: builtins.int
class c_nvmlDeviceCurrentClockFreqs_v1_t:
    version: builtins.int
    str: builtins.bytes
class c_nvmlDevicePerfModes_v1_t:
    version: builtins.int
    str: builtins.bytes
class c_nvmlDevicePowerMizerModes_v1_t:
    currentMode: builtins.int
    mode: builtins.int
    supportedPowerMizerModes: builtins.int
class c_nvmlDevice_t:
    ...
class c_nvmlDramEncryptionInfo_t:
    def __init__(self) -> None: ...
    version: builtins.int
    encryptionState: builtins.int
class c_nvmlEccBankRemapperHistogram_v1_t:
    maxSpareGroupCount: builtins.int
    noSpareGroupCount: builtins.int
class c_nvmlEccBankRemapperStatus_v1_t:
    activeRemappings: builtins.int
    inactiveRemappings: builtins.int
    bPending: builtins.int
    histogram: c_nvmlEccBankRemapperHistogram_v1_t
class c_nvmlEccErrorCounts_t:
    l1Cache: builtins.int
    l2Cache: builtins.int
    deviceMemory: builtins.int
    registerFile: builtins.int
class c_nvmlEccSramErrorStatus_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    aggregateUncParity: builtins.int
    aggregateUncSecDed: builtins.int
    aggregateCor: builtins.int
    volatileUncParity: builtins.int
    volatileUncSecDed: builtins.int
    volatileCor: builtins.int
    aggregateUncBucketL2: builtins.int
    aggregateUncBucketSm: builtins.int
    aggregateUncBucketPcie: builtins.int
    aggregateUncBucketMcu: builtins.int
    aggregateUncBucketOther: builtins.int
    bThresholdExceeded: builtins.int
class c_nvmlEccSramUniqueUncorrectedErrorCounts_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    entryCount: builtins.int
    entries: builtins.object
class c_nvmlEccSramUniqueUncorrectedErrorEntry_v1_t:
    unit: builtins.int
    location: builtins.int
    sublocation: builtins.int
    extlocation: builtins.int
    address: builtins.int
    isParity: builtins.int
    count: builtins.int
class c_nvmlEncoderSession_t:
    sessionId: builtins.int
    pid: builtins.int
    vgpuInstance: builtins.int
    codecType: builtins.int
    hResolution: builtins.int
    vResolution: builtins.int
    averageFps: builtins.int
    encodeLatency: builtins.int
class c_nvmlEventData_t:
    device: builtins.object
    eventType: builtins.int
    eventData: builtins.int
    gpuInstanceId: builtins.int
    computeInstanceId: builtins.int
class c_nvmlEventSetGetContextCount_v1_t:
    count: builtins.int
class c_nvmlEventSetGetContextData_v1_t:
    data: builtins.object
    index: builtins.int
    dataSize: builtins.int
class c_nvmlEventSetGetContextInfo_v1_t:
    index: builtins.int
    nvmlGpuOperationalEventContextType: builtins.int
    sourceEventContextType: builtins.int
    dataSize: builtins.int
    dataFormatVersion: builtins.int
class c_nvmlEventSetGetGpuOperationalEventContextLegacyXid_v1_t:
    index: builtins.int
    xidCode: builtins.int
class c_nvmlEventSetWait_v3_t:
    timeoutMs: builtins.int
    dataType: builtins.int
    uuid: builtins.bytes
    sourceModule: builtins.bytes
    eventType: builtins.int
    eventData: builtins.int
    groupCursor: builtins.int
    instanceId: builtins.int
    timestampUsec: builtins.int
    traceId: builtins.int
    gpuInstanceId: builtins.int
    computeInstanceId: builtins.int
    severity: builtins.int
    categoryId: builtins.int
    moduleEventCode: builtins.int
    scope: builtins.int
    originator: builtins.int
    moduleInstance: builtins.int
    chipletId: builtins.int
    logLevel: builtins.int
    attributes: builtins.int
    groupCperSize: builtins.int
    groupAttributes: builtins.int
    groupSize: builtins.int
    groupIndex: builtins.int
class c_nvmlEventSet_t:
    ...
class c_nvmlExcludedDeviceInfo_t:
    pci: nvmlPciInfo_t
    uuid: builtins.bytes
class c_nvmlFBCSession_t:
    sessionId: builtins.int
    pid: builtins.int
    vgpuInstance: builtins.int
    displayOrdinal: builtins.int
    sessionType: builtins.int
    sessionFlags: builtins.int
    hMaxResolution: builtins.int
    vMaxResolution: builtins.int
    hResolution: builtins.int
    vResolution: builtins.int
    averageFPS: builtins.int
    averageLatency: builtins.int
class c_nvmlFBCStats_t:
    sessionsCount: builtins.int
    averageFPS: builtins.int
    averageLatency: builtins.int
class c_nvmlFanSpeedInfo_t:
    version: builtins.int
    fan: builtins.int
    speed: builtins.int
class c_nvmlFieldValue_t:
    fieldId: builtins.int
    scopeId: builtins.int
    timestamp: builtins.int
    latencyUsec: builtins.int
    valueType: builtins.int
    nvmlReturn: builtins.int
    value: c_nvmlValue_t
class c_nvmlGetCPER_v1_t:
    cursor: c_nvmlCPERCursor_v1_t
    buffer: builtins.object
    bufferSize: builtins.int
class c_nvmlGetMemoryLimits_v1_t:
    nameSpace: builtins.bytes
    softLimit: builtins.int
    hardLimit: builtins.int
    currentUsed: builtins.int
class c_nvmlGpmMetric_t:
    metricId: builtins.int
    nvmlReturn: builtins.int
    value: builtins.float
    metricInfo: c_metricInfo_t
class c_nvmlGpmMetricsGet_t:
    version: builtins.int
    numMetrics: builtins.int
    sample1: builtins.object
    sample2: builtins.object
    metrics: builtins.object
class c_nvmlGpmSample_t:
    ...
class c_nvmlGpmSupport_t:
    version: builtins.int
    isSupportedDevice: builtins.int
class c_nvmlGpuDynamicPstatesInfo_t:
    flags: builtins.int
    utilization: builtins.object
class c_nvmlGpuDynamicPstatesUtilization_t:
    bIsPresent: builtins.int
    percentage: builtins.int
    incThreshold: builtins.int
    decThreshold: builtins.int
class c_nvmlGpuFabricClique_v1_t:
    type: builtins.int
    id: builtins.int
class c_nvmlGpuFabricInfoV_t:
    def __init__(self) -> None: ...
    version: builtins.int
    clusterUuid: builtins.object
    status: builtins.int
    cliqueId: builtins.int
    state: builtins.int
    healthMask: builtins.int
class c_nvmlGpuFabricInfo_t:
    clusterUuid: builtins.object
    status: builtins.int
    cliqueId: builtins.int
    state: builtins.int
class c_nvmlGpuFabricInfo_v2_t:
    def __init__(self) -> None: ...
    version: builtins.int
    clusterUuid: builtins.object
    status: builtins.int
    cliqueId: builtins.int
    state: builtins.int
    healthMask: builtins.int
class c_nvmlGpuFabricInfo_v3_t:
    def __init__(self) -> None: ...
    version: builtins.int
    clusterUuid: builtins.object
    status: builtins.int
    cliqueId: builtins.int
    state: builtins.int
    healthMask: builtins.int
    healthSummary: builtins.int
class c_nvmlGpuFabricInfo_v4_t:
    clusterUuid: builtins.object
    status: builtins.int
    cliques: builtins.object
    numCliques: builtins.int
    state: builtins.int
    healthMask: builtins.int
    healthSummary: builtins.int
class c_nvmlGpuInstanceInfo_t:
    device: builtins.object
    id: builtins.int
    profileId: builtins.int
    placement: c_nvmlGpuInstancePlacement_t
class c_nvmlGpuInstancePlacement_t:
    start: builtins.int
    size: builtins.int
class c_nvmlGpuInstanceProfileInfo_t:
    id: builtins.int
    isP2pSupported: builtins.int
    sliceCount: builtins.int
    instanceCount: builtins.int
    multiprocessorCount: builtins.int
    copyEngineCount: builtins.int
    decoderCount: builtins.int
    encoderCount: builtins.int
    jpegCount: builtins.int
    ofaCount: builtins.int
    memorySizeMB: builtins.int
class c_nvmlGpuInstanceProfileInfo_v2_t:
    def __init__(self) -> None: ...
    version: builtins.int
    id: builtins.int
    isP2pSupported: builtins.int
    sliceCount: builtins.int
    instanceCount: builtins.int
    multiprocessorCount: builtins.int
    copyEngineCount: builtins.int
    decoderCount: builtins.int
    encoderCount: builtins.int
    jpegCount: builtins.int
    ofaCount: builtins.int
    memorySizeMB: builtins.int
    name: builtins.bytes
class c_nvmlGpuInstance_t:
    ...
class c_nvmlGpuOperationalEventConfig_v1_t:
    def __init__(self, uuid: builtins.object=..., minLogLevel: builtins.object=..., minSeverity: builtins.object=...) -> None: ...
    uuid: builtins.bytes
    minLogLevel: builtins.int
    minSeverity: builtins.int
class c_nvmlGpuThermalSensor_t:
    controller: builtins.int
    defaultMinTemp: builtins.int
    defaultMaxTemp: builtins.int
    currentTemp: builtins.int
    target: builtins.int
class c_nvmlGpuThermalSettings_t:
    count: builtins.int
    sensor: builtins.object
class c_nvmlGridLicensableFeature_t:
    featureCode: builtins.int
    featureState: builtins.int
    licenseInfo: builtins.bytes
class c_nvmlGridLicensableFeature_v2_t:
    featureCode: builtins.int
    featureState: builtins.int
    licenseInfo: builtins.bytes
    productName: builtins.bytes
class c_nvmlGridLicensableFeature_v3_t:
    featureCode: builtins.int
    featureState: builtins.int
    licenseInfo: builtins.bytes
    productName: builtins.bytes
    featureEnabled: builtins.int
class c_nvmlGridLicensableFeature_v4_t:
    featureCode: builtins.int
    featureState: builtins.int
    licenseInfo: builtins.bytes
    productName: builtins.bytes
    featureEnabled: builtins.int
    licenseExpiry: c_nvmlGridLicenseExpiry_t
class c_nvmlGridLicensableFeatures_t:
    isGridLicenseSupported: builtins.int
    licensableFeaturesCount: builtins.int
    gridLicensableFeatures: builtins.object
class c_nvmlGridLicensableFeatures_v2_t:
    isGridLicenseSupported: builtins.int
    licensableFeaturesCount: builtins.int
    gridLicensableFeatures: builtins.object
class c_nvmlGridLicensableFeatures_v3_t:
    isGridLicenseSupported: builtins.int
    licensableFeaturesCount: builtins.int
    gridLicensableFeatures: builtins.object
class c_nvmlGridLicensableFeatures_v4_t:
    isGridLicenseSupported: builtins.int
    licensableFeaturesCount: builtins.int
    gridLicensableFeatures: builtins.object
class c_nvmlGridLicenseExpiry_t:
    year: builtins.int
    month: builtins.int
    day: builtins.int
    hour: builtins.int
    min: builtins.int
    sec: builtins.int
    status: builtins.int
class c_nvmlHostname_v1_t:
    value: builtins.bytes
class c_nvmlHwbcEntry_t:
    hwbcId: builtins.int
    firmwareVersion: builtins.bytes
class c_nvmlLedState_t:
    cause: builtins.bytes
    color: builtins.int
class c_nvmlMarginTemperature_v1_t:
    version: builtins.int
    marginTemperature: builtins.int
class c_nvmlMask255_t:
    mask: builtins.object
class c_nvmlMemory_t:
    total: builtins.int
    free: builtins.int
    used: builtins.int
class c_nvmlMemory_v2_t:
    version: builtins.int
    total: builtins.int
    reserved: builtins.int
    free: builtins.int
    used: builtins.int
class c_nvmlNvLinkInfo_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    isNvleEnabled: builtins.int
class c_nvmlNvLinkInfo_v2_t:
    def __init__(self) -> None: ...
    version: builtins.int
    isNvleEnabled: builtins.int
    firmwareInfo: c_nvmlNvlinkFirmwareInfo_t
class c_nvmlNvLinkPowerThres_t:
    lowPwrThreshold: builtins.int
class c_nvmlNvlinkFirmwareInfo_t:
    firmwareVersion: builtins.object
    numValidEntries: builtins.int
class c_nvmlNvlinkFirmwareVersion_t:
    ucodeType: builtins.int
    major: builtins.int
    minor: builtins.int
    subMinor: builtins.int
class c_nvmlNvlinkGetBwMode_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    bIsBest: builtins.int
    bwMode: builtins.int
class c_nvmlNvlinkSetBwModeAsync_v1_t:
    def __init__(self) -> None: ...
    bSetBest: builtins.int
    bwMode: builtins.int
    asyncPollTimeoutMs: builtins.int
class c_nvmlNvlinkSetBwMode_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    bSetBest: builtins.int
    bwMode: builtins.int
class c_nvmlNvlinkSupportedBwModes_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    bwModes: builtins.object
    totalBwModes: builtins.int
class c_nvmlNvlinkTelemetrySample_v1_t:
    linkId: builtins.int
    sampleType: builtins.int
    sampleCount: builtins.int
    samples: builtins.object
    nvmlReturn: builtins.int
class c_nvmlNvlinkTelemetrySamples_v1_t:
    telemetryCount: builtins.int
    telemetrySamples: builtins.object
class c_nvmlObservedMetrics_t:
    initialDramclkEst: builtins.object
    bValid: builtins.int
    coreRail: c_nvmlCoreRailMetrics_t
    fbRail: c_nvmlRailMetrics_t
    tgpPwrTuple: c_nvmlPmgrPwrTuple_t
    perfMetrics: c_nvmlPwrModelMetricsDlppm1xPerf_t
class c_nvmlPRMCounterInput_v1_t:
    def __init__(self, port: builtins.object=...) -> None: ...
    localPort: builtins.int
class c_nvmlPRMCounterList_v1_t:
    def __init__(self, num: builtins.object, ctrs: builtins.object=...) -> None: ...
    numCounters: builtins.int
    counters: builtins.object
class c_nvmlPRMCounterValue_v1_t:
    def __init__(self) -> None: ...
    status: builtins.int
    outputType: builtins.int
    outputValue: c_nvmlValue_t
class c_nvmlPRMCounter_v1_t:
    def __init__(self, ctrId: builtins.object=..., inData: builtins.object=...) -> None: ...
    counterId: builtins.int
    inputValue: c_nvmlPRMCounterInput_v1_t
    outputValue: c_nvmlPRMCounterValue_v1_t
class c_nvmlPRMTLV_v1_t:
    def __init__(self, size: builtins.object=...) -> None: ...
    dataSize: builtins.int
    status: builtins.int
    data: builtins.object
class c_nvmlPSUInfo_t:
    state: builtins.bytes
    current: builtins.int
    voltage: builtins.int
    power: builtins.int
class c_nvmlPdi_t:
    def __init__(self) -> None: ...
    version: builtins.int
    value: builtins.int
class c_nvmlPerfMetricControllerSampleData_t:
    dlppc2x: c_nvmlPerfMetricsDlppc2xSample_t
    pfpp1x: c_nvmlPerfMetricsPfpp1xSample_t
class c_nvmlPerfMetricControllerSample_t:
    controllerType: builtins.int
    data: c_nvmlPerfMetricControllerSampleData_t
class c_nvmlPerfMetricsDlppc2xSample_t:
    observedMetrics: c_nvmlObservedMetrics_t
class c_nvmlPerfMetricsPfpp1xSample_t:
    estimatedMetrics: c_nvmlPwrModelMetricsPfpp1x_t
class c_nvmlPerfMetricsSample_t:
    numControllerData: builtins.int
    controllerData: builtins.object
class c_nvmlPerfMetricsSamples_v1_t:
    def __init__(self) -> None: ...
    numSamples: builtins.int
    samples: builtins.object
class c_nvmlPlatformInfo_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    ibGuid: builtins.bytes
    rackGuid: builtins.bytes
    chassisPhysicalSlotNumber: builtins.object
    computeSlotIndex: builtins.object
    nodeIndex: builtins.object
    peerType: builtins.object
    moduleId: builtins.object
class c_nvmlPlatformInfo_v2_t:
    def __init__(self) -> None: ...
    version: builtins.int
    ibGuid: builtins.bytes
    chassisSerialNumber: builtins.bytes
    slotNumber: builtins.object
    trayIndex: builtins.object
    hostId: builtins.object
    peerType: builtins.object
    moduleId: builtins.object
class c_nvmlPmgrPwrTuple_t:
    pwrmW: builtins.int
class c_nvmlPowerSmoothingProfile_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    profileId: builtins.int
    paramId: builtins.int
    value: builtins.float
class c_nvmlPowerSmoothingState_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    state: builtins.int
class c_nvmlPowerValue_v2_t:
    version: builtins.int
    powerScope: builtins.int
    powerValueMw: builtins.int
class c_nvmlProcessDetailList_t:
    version: builtins.int
    mode: builtins.int
    numProcArrayEntries: builtins.int
    procArray: builtins.object
class c_nvmlProcessDetailList_v1_t:
    version: builtins.int
    mode: builtins.int
    numProcArrayEntries: builtins.int
    procArray: builtins.object
class c_nvmlProcessDetail_v1_t:
    pid: builtins.int
    usedGpuMemory: builtins.int
    gpuInstanceId: builtins.int
    computeInstanceId: builtins.int
    usedGpuCcProtectedMemory: builtins.int
class c_nvmlProcessInfo_t:
    pid: builtins.int
    usedGpuMemory: builtins.int
    gpuInstanceId: builtins.int
    computeInstanceId: builtins.int
class c_nvmlProcessInfo_v2_t:
    pid: builtins.int
    usedGpuMemory: builtins.int
    gpuInstanceId: builtins.int
    computeInstanceId: builtins.int
class c_nvmlProcessInfo_v3_t:
    pid: builtins.int
    usedGpuMemory: builtins.int
    gpuInstanceId: builtins.int
    computeInstanceId: builtins.int
class c_nvmlProcessUtilizationInfo_v1_t:
    timeStamp: builtins.int
    pid: builtins.int
    smUtil: builtins.int
    memUtil: builtins.int
    encUtil: builtins.int
    decUtil: builtins.int
    jpgUtil: builtins.int
    ofaUtil: builtins.int
class c_nvmlProcessUtilizationSample_t:
    pid: builtins.int
    timeStamp: builtins.int
    smUtil: builtins.int
    memUtil: builtins.int
    encUtil: builtins.int
    decUtil: builtins.int
class c_nvmlProcessesUtilizationInfo_v1_t:
    version: builtins.int
    processSamplesCount: builtins.int
    lastSeenTimeStamp: builtins.int
    procUtilArray: builtins.object
class c_nvmlPwrModelMetricsDlppm1xDramclkEstimates_t:
    estimatedMetrics: builtins.object
    numEstimatedMetrics: builtins.int
class c_nvmlPwrModelMetricsDlppm1xPerf_t:
    perfms: builtins.int
class c_nvmlPwrModelMetricsDlppm1x_t:
    bValid: builtins.int
    coreRail: c_nvmlCoreRailMetrics_t
    fbRail: c_nvmlRailMetrics_t
    tgpPwrTuple: c_nvmlPmgrPwrTuple_t
    perfMetrics: c_nvmlPwrModelMetricsDlppm1xPerf_t
class c_nvmlPwrModelMetricsPfpp1x_t:
    numVfPoints: builtins.int
    estimatedMetrics: builtins.object
    bValid: builtins.int
    maxPerfPerWattPoint: c_nvmlPwrModelOperatingPointPfpp1x_t
    fmaxAtVmaxPoint: c_nvmlPwrModelOperatingPointPfpp1x_t
    tgpHeadroommW: builtins.int
class c_nvmlPwrModelMetricsSamplePfpp1x_t:
    freqkHz: builtins.object
    estTgpPwrmW: builtins.int
class c_nvmlPwrModelOperatingPointPfpp1x_t:
    freqkHz: builtins.int
    pwrmW: builtins.int
class c_nvmlRailMetrics_t:
    freqkHz: builtins.int
    utilPct: builtins.int
class c_nvmlRemappedRowsInfo_v2_t:
    corrActiveRemaps: builtins.int
    corrInactiveRemaps: builtins.int
    uncActiveRemaps: builtins.int
    uncInactiveRemaps: builtins.int
    bPending: builtins.int
    bfailureOccurred: builtins.int
class c_nvmlRepairStatus_t:
    def __init__(self) -> None: ...
    version: builtins.int
    bChannelRepairPending: builtins.int
    bTpcRepairPending: builtins.int
class c_nvmlRowRemapperHistogramValues:
    max: builtins.int
    high: builtins.int
    partial: builtins.int
    low: builtins.int
    none: builtins.int
class c_nvmlRusdSettings_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    pollMask: builtins.int
class c_nvmlSample_t:
    timeStamp: builtins.int
    sampleValue: c_nvmlValue_t
class c_nvmlSetMemoryLimits_v1_t:
    nameSpace: builtins.bytes
    softLimit: builtins.int
    hardLimit: builtins.int
class c_nvmlSystemConfComputeSettings_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    environment: builtins.int
    ccFeature: builtins.int
    devToolsMode: builtins.int
    multiGpuMode: builtins.int
class c_nvmlSystemDriverBranchInfo_v1_t:
    version: builtins.int
    branch: builtins.bytes
class c_nvmlSystemEventData_v1_t:
    eventType: builtins.int
    gpuId: builtins.int
class c_nvmlSystemEventSetCreateRequest_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    set: builtins.object
class c_nvmlSystemEventSetFreeRequest_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    set: builtins.object
class c_nvmlSystemEventSetWaitRequest_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    timeoutms: builtins.int
    set: builtins.object
    data: builtins.object
    dataSize: builtins.int
    numEvent: builtins.int
class c_nvmlSystemEventSet_t:
    ...
class c_nvmlSystemRegisterEventRequest_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    eventTypes: builtins.int
    set: builtins.object
class c_nvmlTemperature_v1_t:
    version: builtins.int
    sensorType: builtins.int
    temperature: builtins.int
class c_nvmlUUIDValue_t:
    str: builtins.bytes
    bytes: builtins.object
class c_nvmlUUID_t:
    def __init__(self) -> None: ...
    version: builtins.int
    type: builtins.int
    value: c_nvmlUUIDValue_t
class c_nvmlUnitFanInfo_t:
    speed: builtins.int
    state: builtins.int
class c_nvmlUnitFanSpeeds_t:
    fans: builtins.object
    count: builtins.int
class c_nvmlUnitInfo_t:
    name: builtins.bytes
    id: builtins.bytes
    serial: builtins.bytes
    firmwareVersion: builtins.bytes
class c_nvmlUnit_t:
    ...
class c_nvmlUnrepairableMemory_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    unrepairableMemory: builtins.int
class c_nvmlUtilization_t:
    gpu: builtins.int
    memory: builtins.int
class c_nvmlValue_t:
    dVal: builtins.float
    uiVal: builtins.int
    ulVal: builtins.int
    ullVal: builtins.int
    sllVal: builtins.int
    siVal: builtins.int
    usVal: builtins.int
class c_nvmlVgpuCreatablePlacementInfo_v1_t:
    version: builtins.int
    vgpuTypeId: builtins.int
    count: builtins.int
    placementIds: builtins.object
    placementSize: builtins.int
class c_nvmlVgpuHeterogeneousMode_v1_t:
    version: builtins.int
    mode: builtins.int
class c_nvmlVgpuInstanceUtilizationInfo_v1_t:
    timeStamp: builtins.int
    vgpuInstance: builtins.int
    smUtil: c_nvmlValue_t
    memUtil: c_nvmlValue_t
    encUtil: c_nvmlValue_t
    decUtil: c_nvmlValue_t
    jpgUtil: c_nvmlValue_t
    ofaUtil: c_nvmlValue_t
class c_nvmlVgpuInstanceUtilizationSample_t:
    vgpuInstance: builtins.int
    timeStamp: builtins.int
    smUtil: c_nvmlValue_t
    memUtil: c_nvmlValue_t
    encUtil: c_nvmlValue_t
    decUtil: c_nvmlValue_t
class c_nvmlVgpuInstancesUtilizationInfo_v1_t:
    version: builtins.int
    sampleValType: builtins.int
    vgpuInstanceCount: builtins.int
    lastSeenTimeStamp: builtins.int
    vgpuUtilArray: builtins.object
class c_nvmlVgpuLicenseExpiry_t:
    year: builtins.int
    month: builtins.int
    day: builtins.int
    hour: builtins.int
    min: builtins.int
    sec: builtins.int
    status: builtins.int
class c_nvmlVgpuLicenseInfo_t:
    isLicensed: builtins.int
    licenseExpiry: c_nvmlVgpuLicenseExpiry_t
    currentState: builtins.int
class c_nvmlVgpuMetadata_t:
    version: builtins.int
    revision: builtins.int
    guestInfoState: builtins.int
    guestDriverVersion: builtins.bytes
    hostDriverVersion: builtins.bytes
    reserved: builtins.object
    vgpuVirtualizationCaps: builtins.int
    guestVgpuVersion: builtins.int
    opaqueDataSize: builtins.int
    opaqueData: builtins.bytes
class c_nvmlVgpuPgpuCompatibility_t:
    vgpuVmCompatibility: builtins.int
    compatibilityLimitCode: builtins.int
class c_nvmlVgpuPgpuMetadata_t:
    version: builtins.int
    revision: builtins.int
    hostDriverVersion: builtins.bytes
    pgpuVirtualizationCaps: builtins.int
    reserved: builtins.object
    hostSupportedVgpuRange: c_nvmlVgpuVersion_t
    opaqueDataSize: builtins.int
    opaqueData: builtins.bytes
class c_nvmlVgpuPlacementId_v1_t:
    version: builtins.int
    placementId: builtins.int
class c_nvmlVgpuPlacementList_v1_t:
    version: builtins.int
    placementSize: builtins.int
    count: builtins.int
    placementIds: builtins.object
class c_nvmlVgpuPlacementList_v2_t:
    version: builtins.int
    placementSize: builtins.int
    count: builtins.int
    placementIds: builtins.object
    mode: builtins.int
class c_nvmlVgpuProcessUtilizationInfo_v1_t:
    processName: builtins.bytes
    timeStamp: builtins.int
    vgpuInstance: builtins.int
    pid: builtins.int
    smUtil: builtins.int
    memUtil: builtins.int
    encUtil: builtins.int
    decUtil: builtins.int
    jpgUtil: builtins.int
    ofaUtil: builtins.int
class c_nvmlVgpuProcessUtilizationSample_t:
    vgpuInstance: builtins.int
    pid: builtins.int
    processName: builtins.bytes
    timeStamp: builtins.int
    smUtil: builtins.int
    memUtil: builtins.int
    encUtil: builtins.int
    decUtil: builtins.int
class c_nvmlVgpuProcessesUtilizationInfo_v1_t:
    version: builtins.int
    vgpuProcessCount: builtins.int
    lastSeenTimeStamp: builtins.int
    vgpuProcUtilArray: builtins.object
class c_nvmlVgpuSchedDataWithARR_t:
    avgFactor: builtins.int
    timeslice: builtins.int
class c_nvmlVgpuSchedData_t:
    timeslice: builtins.int
class c_nvmlVgpuSchedSetDataWithARR_t:
    avgFactor: builtins.int
    frequency: builtins.int
class c_nvmlVgpuSchedSetData_t:
    timeslice: builtins.int
class c_nvmlVgpuSchedulerCapabilities_t:
    supportedSchedulers: builtins.object
    maxTimeslice: builtins.int
    minTimeslice: builtins.int
    isArrModeSupported: builtins.int
    maxFrequencyForARR: builtins.int
    minFrequencyForARR: builtins.int
    maxAvgFactorForARR: builtins.int
    minAvgFactorForARR: builtins.int
class c_nvmlVgpuSchedulerGetState_t:
    schedulerPolicy: builtins.int
    arrMode: builtins.int
    schedulerParams: c_nvmlVgpuSchedulerParams_t
class c_nvmlVgpuSchedulerLogEntry_t:
    timestamp: builtins.int
    timeRunTotal: builtins.int
    timeRun: builtins.int
    swRunlistId: builtins.int
    targetTimeSlice: builtins.int
    cumulativePreemptionTime: builtins.int
class c_nvmlVgpuSchedulerLogEntry_v2_t:
    timestamp: builtins.int
    timeRunTotal: builtins.int
    timeRun: builtins.int
    swRunlistId: builtins.int
    targetTimeSlice: builtins.int
    cumulativePreemptionTime: builtins.int
    weight: builtins.int
class c_nvmlVgpuSchedulerLogInfo_v1_t:
    version: builtins.int
    engineId: builtins.int
    schedulerPolicy: builtins.int
    arrMode: builtins.int
    schedulerParams: c_nvmlVgpuSchedulerParams_t
    entriesCount: builtins.int
    logEntries: builtins.object
class c_nvmlVgpuSchedulerLogInfo_v2_t:
    engineId: builtins.int
    schedulerPolicy: builtins.int
    avgFactor: builtins.int
    timeslice: builtins.int
    entriesCount: builtins.int
    logEntries: builtins.object
class c_nvmlVgpuSchedulerLog_t:
    engineId: builtins.int
    schedulerPolicy: builtins.int
    arrMode: builtins.int
    schedulerParams: c_nvmlVgpuSchedulerParams_t
    entriesCount: builtins.int
    logEntries: builtins.object
class c_nvmlVgpuSchedulerParams_t:
    vgpuSchedDataWithARR: c_nvmlVgpuSchedDataWithARR_t
    vgpuSchedData: c_nvmlVgpuSchedData_t
class c_nvmlVgpuSchedulerSetParams_t:
    vgpuSchedDataWithARR: c_nvmlVgpuSchedSetDataWithARR_t
    vgpuSchedData: c_nvmlVgpuSchedSetData_t
class c_nvmlVgpuSchedulerSetState_t:
    schedulerPolicy: builtins.int
    enableARRMode: builtins.int
    schedulerParams: c_nvmlVgpuSchedulerSetParams_t
class c_nvmlVgpuSchedulerStateInfo_v1_t:
    version: builtins.int
    engineId: builtins.int
    schedulerPolicy: builtins.int
    arrMode: builtins.int
    schedulerParams: c_nvmlVgpuSchedulerParams_t
class c_nvmlVgpuSchedulerStateInfo_v2_t:
    engineId: builtins.int
    schedulerPolicy: builtins.int
    avgFactor: builtins.int
    timeslice: builtins.int
class c_nvmlVgpuSchedulerState_v1_t:
    version: builtins.int
    engineId: builtins.int
    schedulerPolicy: builtins.int
    enableARRMode: builtins.int
    schedulerParams: c_nvmlVgpuSchedulerSetParams_t
class c_nvmlVgpuSchedulerState_v2_t:
    engineId: builtins.int
    schedulerPolicy: builtins.int
    avgFactor: builtins.int
    frequency: builtins.int
class c_nvmlVgpuTypeBar1Info_v1_t:
    version: builtins.int
    bar1Size: builtins.int
class c_nvmlVgpuTypeIdInfo_v1_t:
    version: builtins.int
    vgpuCount: builtins.int
    vgpuTypeIds: builtins.object
class c_nvmlVgpuTypeMaxInstance_v1_t:
    version: builtins.int
    vgpuTypeId: builtins.int
    maxInstancePerGI: builtins.int
class c_nvmlVgpuVersion_t:
    minVersion: builtins.int
    maxVersion: builtins.int
class c_nvmlViolationTime_t:
    referenceTime: builtins.int
    violationTime: builtins.int
class c_nvmlWorkloadPowerProfileCurrentProfiles_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    perfProfilesMask: c_nvmlMask255_t
    requestedProfilesMask: c_nvmlMask255_t
    enforcedProfilesMask: c_nvmlMask255_t
class c_nvmlWorkloadPowerProfileInfo_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    profileId: builtins.int
    priority: builtins.int
    conflictingmask: c_nvmlMask255_t
class c_nvmlWorkloadPowerProfileProfilesInfo_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    perfProfilesMask: c_nvmlMask255_t
    perfProfile: builtins.object
class c_nvmlWorkloadPowerProfileRequestedProfiles_v1_t:
    def __init__(self) -> None: ...
    version: builtins.int
    requestedProfilesMask: c_nvmlMask255_t
class c_nvmlWorkloadPowerProfileUpdateProfiles_v1_t:
    operation: builtins.int
    updateProfilesMask: c_nvmlMask255_t
class nvmlClkMonFaultInfo_t:
    clkApiDomain: builtins.int
    clkDomainFaultMask: builtins.int
class nvmlClkMonStatus_t:
    bGlobalStatus: builtins.int
    clkMonListSize: builtins.int
    clkMonList: builtins.object
class nvmlFriendlyObject:
    def __init__(self, dictionary: builtins.object) -> None: ...
    def __getattr__(self, name: builtins.str) -> object: ...
class nvmlNvLinkUtilizationControl_t:
    units: builtins.int
    pktfilter: builtins.int
class nvmlPciInfoExt_v1_t:
    version: builtins.int
    domain: builtins.int
    bus: builtins.int
    device: builtins.int
    pciDeviceId: builtins.int
    pciSubSystemId: builtins.int
    baseClass: builtins.int
    subClass: builtins.int
    busId: builtins.bytes
class nvmlPciInfo_t:
    busIdLegacy: builtins.bytes
    domain: builtins.int
    bus: builtins.int
    device: builtins.int
    pciDeviceId: builtins.int
    pciSubSystemId: builtins.int
    busId: builtins.bytes
class nvmlPciInfo_v2_t:
    busId: builtins.bytes
    domain: builtins.int
    bus: builtins.int
    device: builtins.int
    pciDeviceId: builtins.int
    pciSubSystemId: builtins.int
    reserved0: builtins.int
    reserved1: builtins.int
    reserved2: builtins.int
    reserved3: builtins.int
class nvmlVgpuRuntimeState_v1_t:
    version: builtins.int
    size: builtins.int
class struct_c_nvmlComputeInstance_t:
    ...
class struct_c_nvmlDevice_t:
    ...
class struct_c_nvmlEventSet_t:
    ...
class struct_c_nvmlGpmSample_t:
    ...
class struct_c_nvmlGpuInstance_t:
    ...
class struct_c_nvmlSystemEventSet_t:
    ...
class struct_c_nvmlUnit_t:
    ...
def c_nvmlSystemEventSetCreate(req: builtins.object) -> None: ...
def c_nvmlSystemEventSetFree(req: builtins.object) -> None: ...
def c_nvmlSystemEventSetWait(req: builtins.object) -> builtins.object: ...
def c_nvmlSystemRegisterEvents(req: builtins.object) -> None: ...
def convertStrBytes(func: builtins.object) -> builtins.object: ...
def find_library(name: builtins.object) -> builtins.object: ...
def nvmlComputeInstanceDestroy(computeInstance: builtins.object) -> builtins.object: ...
def nvmlComputeInstanceGetInfo(computeInstance: builtins.object) -> c_nvmlComputeInstanceInfo_t: ...
def nvmlComputeInstanceGetInfo_v2(computeInstance: builtins.object) -> c_nvmlComputeInstanceInfo_t: ...
def nvmlDeviceClearAccountingPids(handle: builtins.object) -> None: ...
def nvmlDeviceClearCpuAffinity(handle: builtins.object) -> None: ...
def nvmlDeviceClearEccErrorCounts(handle: builtins.object, counterType: builtins.object) -> None: ...
def nvmlDeviceClearFieldValues(handle: builtins.object, fieldIds: builtins.object) -> builtins.object: ...
def nvmlDeviceCreateGpuInstance(device: builtins.object, profileId: builtins.object) -> c_nvmlGpuInstance_t: ...
def nvmlDeviceCreateGpuInstanceWithPlacement(device: builtins.object, profileId: builtins.object, placement: builtins.object) -> c_nvmlGpuInstance_t: ...
def nvmlDeviceDiscoverGpus(pciInfo: builtins.object) -> None: ...
def nvmlDeviceFreezeNvLinkUtilizationCounter(device: builtins.object, link: builtins.object, counter: builtins.object, freeze: builtins.object) -> None: ...
def nvmlDeviceGetAPIRestriction(device: builtins.object, apiType: builtins.object) -> builtins.object: ...
def nvmlDeviceGetAccountingBufferSize(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetAccountingMode(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetAccountingPids(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetAccountingStats(handle: builtins.object, pid: builtins.object) -> c_nvmlAccountingStats_t: ...
def nvmlDeviceGetAccountingStats_v2(handle: builtins.object, pid: builtins.object) -> c_nvmlAccountingStats_v2_t: ...
def nvmlDeviceGetActiveVgpus(handle: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetAdaptiveClockInfoStatus(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetAdaptiveTgpModeInfo_v1(device: builtins.object, info: builtins.object) -> None: ...
def nvmlDeviceGetAddressingMode(device: builtins.object) -> builtins.object: ...
def nvmlDeviceGetApplicationsClock(handle: builtins.object, type: builtins.object) -> builtins.int: ...
def nvmlDeviceGetArchitecture(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetAttributes(device: builtins.object) -> c_nvmlDeviceAttributes: ...
def nvmlDeviceGetAttributes_v2(device: builtins.object) -> c_nvmlDeviceAttributes: ...
def nvmlDeviceGetAutoBoostedClocksEnabled(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetBAR1MemoryInfo(handle: builtins.object) -> c_nvmlBAR1Memory_t: ...
def nvmlDeviceGetBBXTimeData_v1(handle: builtins.object) -> c_nvmlBBXTimeData_v1_t: ...
def nvmlDeviceGetBankRemapperStatus_v1(device: builtins.object, status: builtins.object) -> builtins.object: ...
def nvmlDeviceGetBoardId(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetBoardPartNumber(handle: builtins.object) -> builtins.str: ...
def nvmlDeviceGetBrand(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetBridgeChipInfo(handle: builtins.object) -> c_nvmlBridgeChipHierarchy_t: ...
def nvmlDeviceGetBusType(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetC2cModeInfoV(handle: builtins.object) -> c_nvmlC2cModeInfo_v1_t: ...
def nvmlDeviceGetC2cModeInfoV1(handle: builtins.object) -> c_nvmlC2cModeInfo_v1_t: ...
def nvmlDeviceGetCapabilities(device: builtins.object, caps: builtins.object) -> builtins.object: ...
def nvmlDeviceGetClkMonStatus(handle: builtins.object, c_clkMonInfo: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetClock(handle: builtins.object, type: builtins.object, id: builtins.object) -> builtins.int: ...
def nvmlDeviceGetClockInfo(handle: builtins.object, type: builtins.object) -> builtins.int: ...
def nvmlDeviceGetClockOffsets(device: builtins.object, info: builtins.object) -> builtins.object: ...
def nvmlDeviceGetComputeInstanceId(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetComputeMode(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetComputeRunningProcesses(handle: builtins.object) -> builtins.list[nvmlFriendlyObject]: ...
def nvmlDeviceGetComputeRunningProcesses_v2(handle: builtins.object) -> builtins.list[nvmlFriendlyObject]: ...
def nvmlDeviceGetComputeRunningProcesses_v3(handle: builtins.object) -> builtins.list[nvmlFriendlyObject]: ...
def nvmlDeviceGetConfComputeGpuAttestationReport(device: builtins.object, c_nonce: builtins.object) -> c_nvmlConfComputeGpuAttestationReport_t: ...
def nvmlDeviceGetConfComputeGpuCertificate(device: builtins.object) -> c_nvmlConfComputeGpuCertificate_t: ...
def nvmlDeviceGetConfComputeMemSizeInfo(device: builtins.object) -> c_nvmlConfComputeMemSizeInfo_t: ...
def nvmlDeviceGetConfComputeProtectedMemoryUsage(device: builtins.object) -> c_nvmlMemory_t: ...
def nvmlDeviceGetCoolerInfo(handle: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetCount() -> builtins.int: ...
def nvmlDeviceGetCpuAffinity(handle: builtins.object, cpuSetSize: builtins.object) -> builtins.object: ...
def nvmlDeviceGetCpuAffinityWithinScope(handle: builtins.object, cpuSetSize: builtins.object, scope: builtins.object) -> builtins.object: ...
def nvmlDeviceGetCreatableVgpus(handle: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetCudaComputeCapability(handle: builtins.object) -> builtins.tuple[builtins.int, builtins.int]: ...
def nvmlDeviceGetCurrPcieLinkGeneration(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetCurrPcieLinkWidth(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetCurrentClockFreqs(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetCurrentClocksEventReasons(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetCurrentClocksThrottleReasons(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetCurrentDramEncryptionMode(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetCurrentDriverModel(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetCurrentEccMode(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetCurrentGpuOperationMode(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetDecoderUtilization(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetDefaultApplicationsClock(handle: builtins.object, type: builtins.object) -> builtins.int: ...
def nvmlDeviceGetDefaultEccMode(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetDetailedEccErrors(handle: builtins.object, errorType: builtins.object, counterType: builtins.object) -> c_nvmlEccErrorCounts_t: ...
def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(migDevice: builtins.object) -> c_nvmlDevice_t: ...
def nvmlDeviceGetDisplayActive(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetDisplayMode(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetDramEncryptionMode(handle: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetDriverModel(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetDriverModel_v1(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetDriverModel_v2(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetDynamicPstatesInfo(device: builtins.object, c_dynamicpstatesinfo: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetEccMode(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetEncoderCapacity(handle: builtins.object, encoderQueryType: builtins.object) -> builtins.int: ...
def nvmlDeviceGetEncoderSessions(handle: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetEncoderStats(handle: builtins.object) -> builtins.tuple[builtins.int, builtins.int, builtins.int]: ...
def nvmlDeviceGetEncoderUtilization(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetEnforcedPowerLimit(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetFBCSessions(handle: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetFBCStats(handle: builtins.object) -> c_nvmlFBCStats_t: ...
def nvmlDeviceGetFanControlPolicy_v2(handle: builtins.object, fan: builtins.object, fanControlPolicy: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetFanSpeed(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetFanSpeedRPM(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetFanSpeed_v2(handle: builtins.object, fan: builtins.object) -> builtins.int: ...
def nvmlDeviceGetFieldValues(handle: builtins.object, fieldIds: builtins.object) -> builtins.object: ...
def nvmlDeviceGetGpcClkMinMaxVfOffset(device: builtins.object, minOffset: builtins.object=..., maxOffset: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetGpcClkVfOffset(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetGpuFabricInfo(device: builtins.object, gpuFabricInfo: builtins.object) -> builtins.object: ...
def nvmlDeviceGetGpuFabricInfoV(device: builtins.object, gpuFabricInfo: builtins.object) -> builtins.object: ...
def nvmlDeviceGetGpuFabricInfo_v4(device: builtins.object, gpuFabricInfo: builtins.object) -> builtins.object: ...
def nvmlDeviceGetGpuInstanceById(device: builtins.object, gpuInstanceId: builtins.object) -> c_nvmlGpuInstance_t: ...
def nvmlDeviceGetGpuInstanceId(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetGpuInstancePossiblePlacements(device: builtins.object, profileId: builtins.object, placementsRef: builtins.object, countRef: builtins.object) -> builtins.object: ...
def nvmlDeviceGetGpuInstanceProfileInfo(device: builtins.object, profile: builtins.object, version: builtins.object=...) -> c_nvmlGpuInstanceProfileInfo_t | c_nvmlGpuInstanceProfileInfo_v2_t: ...
def nvmlDeviceGetGpuInstanceProfileInfoById(device: builtins.object, profileId: builtins.object) -> c_nvmlGpuInstanceProfileInfo_v2_t: ...
def nvmlDeviceGetGpuInstanceProfileInfoByIdV(device: builtins.object, profileId: builtins.object) -> builtins.object: ...
def nvmlDeviceGetGpuInstanceProfileInfoV(device: builtins.object, profile: builtins.object, version: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetGpuInstanceRemainingCapacity(device: builtins.object, profileId: builtins.object) -> builtins.int: ...
def nvmlDeviceGetGpuInstances(device: builtins.object, profileId: builtins.object, gpuInstancesRef: builtins.object, countRef: builtins.object) -> builtins.object: ...
def nvmlDeviceGetGpuMaxPcieLinkGeneration(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetGpuOperationMode(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetGraphicsRunningProcesses(handle: builtins.object) -> builtins.list[nvmlFriendlyObject]: ...
def nvmlDeviceGetGraphicsRunningProcesses_v2(handle: builtins.object) -> builtins.list[nvmlFriendlyObject]: ...
def nvmlDeviceGetGraphicsRunningProcesses_v3(handle: builtins.object) -> builtins.list[nvmlFriendlyObject]: ...
def nvmlDeviceGetGridLicensableFeatures(handle: builtins.object) -> c_nvmlGridLicensableFeatures_v4_t: ...
def nvmlDeviceGetGridLicensableFeatures_v4(handle: builtins.object) -> c_nvmlGridLicensableFeatures_v4_t: ...
def nvmlDeviceGetGspFirmwareMode(handle: builtins.object, isEnabled: builtins.object=..., defaultMode: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetGspFirmwareVersion(handle: builtins.object, version: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetHandleByIndex(index: builtins.object) -> c_nvmlDevice_t: ...
def nvmlDeviceGetHandleByPciBusId(pciBusId: builtins.object) -> c_nvmlDevice_t: ...
def nvmlDeviceGetHandleBySerial(serial: builtins.object) -> c_nvmlDevice_t: ...
def nvmlDeviceGetHandleByUUID(uuid: builtins.object) -> c_nvmlDevice_t: ...
def nvmlDeviceGetHandleByUUIDV(uuid: builtins.object, type: builtins.object) -> c_nvmlDevice_t: ...
def nvmlDeviceGetHostVgpuMode(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetHostname_v1(device: builtins.object) -> builtins.object: ...
def nvmlDeviceGetIndex(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetInforomConfigurationChecksum(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetInforomImageVersion(handle: builtins.object) -> builtins.str: ...
def nvmlDeviceGetInforomVersion(handle: builtins.object, infoRomObject: builtins.object) -> builtins.str: ...
def nvmlDeviceGetIrqNum(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetJpgUtilization(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetLastBBXFlushTime(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetMPSComputeRunningProcesses(handle: builtins.object) -> builtins.list[nvmlFriendlyObject]: ...
def nvmlDeviceGetMPSComputeRunningProcesses_v2(handle: builtins.object) -> builtins.list[nvmlFriendlyObject]: ...
def nvmlDeviceGetMPSComputeRunningProcesses_v3(handle: builtins.object) -> builtins.list[nvmlFriendlyObject]: ...
def nvmlDeviceGetMarginTemperature(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetMaxClockInfo(handle: builtins.object, type: builtins.object) -> builtins.int: ...
def nvmlDeviceGetMaxCustomerBoostClock(handle: builtins.object, type: builtins.object) -> builtins.int: ...
def nvmlDeviceGetMaxMigDeviceCount(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetMaxPcieLinkGeneration(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetMaxPcieLinkWidth(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetMemClkMinMaxVfOffset(device: builtins.object, minOffset: builtins.object=..., maxOffset: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetMemClkVfOffset(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetMemoryAffinity(handle: builtins.object, nodeSetSize: builtins.object, scope: builtins.object) -> builtins.object: ...
def nvmlDeviceGetMemoryBusWidth(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetMemoryErrorCounter(handle: builtins.object, errorType: builtins.object, counterType: builtins.object, locationType: builtins.object) -> builtins.int: ...
def nvmlDeviceGetMemoryInfo(handle: builtins.object, version: builtins.object=...) -> c_nvmlMemory_t | c_nvmlMemory_v2_t: ...
def nvmlDeviceGetMemoryLimits_v1(device: builtins.object, limits: builtins.object) -> None: ...
def nvmlDeviceGetMigDeviceHandleByIndex(device: builtins.object, index: builtins.object) -> c_nvmlDevice_t: ...
def nvmlDeviceGetMigMode(device: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetMinMaxClockOfPState(device: builtins.object, clockType: builtins.object, pstate: builtins.object, minClockMHz: builtins.object=..., maxClockMHz: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetMinMaxFanSpeed(handle: builtins.object, minSpeed: builtins.object=..., maxSpeed: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetMinorNumber(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetModuleId(handle: builtins.object, moduleId: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetMultiGpuBoard(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetName(handle: builtins.object) -> builtins.str: ...
def nvmlDeviceGetNumFans(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetNumGpuCores(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetNumaNodeId(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetNvLinkCapability(device: builtins.object, link: builtins.object, capability: builtins.object) -> builtins.int: ...
def nvmlDeviceGetNvLinkErrorCounter(device: builtins.object, link: builtins.object, counter: builtins.object) -> builtins.int: ...
def nvmlDeviceGetNvLinkInfo(device: builtins.object, info: builtins.object) -> builtins.object: ...
def nvmlDeviceGetNvLinkRemoteDeviceType(handle: builtins.object, link: builtins.object) -> builtins.int: ...
def nvmlDeviceGetNvLinkRemotePciInfo(device: builtins.object, link: builtins.object) -> nvmlPciInfo_t: ...
def nvmlDeviceGetNvLinkState(device: builtins.object, link: builtins.object) -> builtins.int: ...
def nvmlDeviceGetNvLinkTelemetrySamples_v1(device: builtins.object, samples: builtins.object) -> builtins.object: ...
def nvmlDeviceGetNvLinkUtilizationControl(device: builtins.object, link: builtins.object, counter: builtins.object) -> nvmlNvLinkUtilizationControl_t: ...
def nvmlDeviceGetNvLinkUtilizationCounter(device: builtins.object, link: builtins.object, counter: builtins.object) -> builtins.tuple[builtins.int, builtins.int]: ...
def nvmlDeviceGetNvLinkVersion(device: builtins.object, link: builtins.object) -> builtins.int: ...
def nvmlDeviceGetNvlinkBwMode(device: builtins.object, getBwMode: builtins.object) -> builtins.object: ...
def nvmlDeviceGetNvlinkSupportedBwModes(device: builtins.object, supportedBwModes: builtins.object) -> builtins.object: ...
def nvmlDeviceGetOfaUtilization(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetP2PStatus(device1: builtins.object, device2: builtins.object, p2pIndex: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPciInfo(handle: builtins.object) -> nvmlPciInfo_t: ...
def nvmlDeviceGetPciInfoExt(handle: builtins.object, c_info: builtins.object) -> None: ...
def nvmlDeviceGetPciInfo_v3(handle: builtins.object) -> nvmlPciInfo_t: ...
def nvmlDeviceGetPcieLinkMaxSpeed(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPcieReplayCounter(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPcieSpeed(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPcieThroughput(device: builtins.object, counter: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPdi(device: builtins.object) -> builtins.object: ...
def nvmlDeviceGetPendingDramEncryptionMode(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetPendingDriverModel(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetPendingEccMode(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetPendingGpuOperationMode(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetPerformanceModes(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetPerformanceState(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPersistenceMode(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPgpuMetadataString(handle: builtins.object) -> builtins.tuple[builtins.str, builtins.int]: ...
def nvmlDeviceGetPlatformInfo(device: builtins.object, platformInfo: builtins.object) -> builtins.object: ...
def nvmlDeviceGetPowerManagementDefaultLimit(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPowerManagementLimit(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPowerManagementLimitConstraints(handle: builtins.object) -> builtins.list[builtins.int]: ...
def nvmlDeviceGetPowerManagementMode(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPowerMizerMode_v1(device: builtins.object, info: builtins.object) -> builtins.object: ...
def nvmlDeviceGetPowerSource(device: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPowerState(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetPowerUsage(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetProcessUtilization(handle: builtins.object, timeStamp: builtins.object) -> builtins.object: ...
def nvmlDeviceGetProcessesUtilizationInfo(handle: builtins.object, timeStamp: builtins.object) -> builtins.object: ...
def nvmlDeviceGetRemappedRows(device: builtins.object) -> builtins.tuple[builtins.int, builtins.int, builtins.int, builtins.int]: ...
def nvmlDeviceGetRemappedRows_v2(device: builtins.object, info: builtins.object) -> builtins.object: ...
def nvmlDeviceGetRepairStatus(device: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetRetiredPages(device: builtins.object, sourceFilter: builtins.object) -> builtins.object: ...
def nvmlDeviceGetRetiredPagesPendingStatus(device: builtins.object) -> builtins.object: ...
def nvmlDeviceGetRetiredPages_v2(device: builtins.object, sourceFilter: builtins.object) -> builtins.object: ...
def nvmlDeviceGetRowRemapperHistogram(device: builtins.object) -> c_nvmlRowRemapperHistogramValues: ...
def nvmlDeviceGetRunningProcessDetailList(handle: builtins.object, version: builtins.object, mode: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetSamples(device: builtins.object, sampling_type: builtins.object, timeStamp: builtins.object) -> builtins.tuple[builtins.int, builtins.object]: ...
def nvmlDeviceGetSerial(handle: builtins.object) -> builtins.str: ...
def nvmlDeviceGetSramEccErrorStatus(device: builtins.object, status: builtins.object) -> builtins.object: ...
def nvmlDeviceGetSramUniqueUncorrectedEccErrorCounts(device: builtins.object, counts: builtins.object) -> builtins.object: ...
def nvmlDeviceGetSupportedClocksEventReasons(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetSupportedClocksThrottleReasons(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetSupportedEventTypes(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetSupportedGraphicsClocks(handle: builtins.object, memoryClockMHz: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetSupportedMemoryClocks(handle: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetSupportedPerformanceStates(device: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetSupportedVgpus(handle: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlDeviceGetTargetFanSpeed(handle: builtins.object, fan: builtins.object) -> builtins.int: ...
def nvmlDeviceGetTemperature(handle: builtins.object, sensor: builtins.object) -> builtins.int: ...
def nvmlDeviceGetTemperatureThreshold(handle: builtins.object, threshold: builtins.object) -> builtins.int: ...
def nvmlDeviceGetTemperatureV(handle: builtins.object, sensor: builtins.object, version: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetTemperatureV1(handle: builtins.object, sensor: builtins.object) -> builtins.object: ...
def nvmlDeviceGetThermalSettings(device: builtins.object, sensorindex: builtins.object, c_thermalsettings: builtins.object=...) -> builtins.object: ...
def nvmlDeviceGetTopologyCommonAncestor(device1: builtins.object, device2: builtins.object) -> builtins.int: ...
def nvmlDeviceGetTopologyNearestGpus(device: builtins.object, level: builtins.object) -> builtins.object: ...
def nvmlDeviceGetTotalEccErrors(handle: builtins.object, errorType: builtins.object, counterType: builtins.object) -> builtins.int: ...
def nvmlDeviceGetTotalEnergyConsumption(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceGetUUID(handle: builtins.object) -> builtins.str: ...
def nvmlDeviceGetUnrepairableMemoryFlag_v1(device: builtins.object) -> builtins.object: ...
def nvmlDeviceGetUtilizationRates(handle: builtins.object) -> c_nvmlUtilization_t: ...
def nvmlDeviceGetVbiosVersion(handle: builtins.object) -> builtins.str: ...
def nvmlDeviceGetVgpuCapabilities(handle: builtins.object, capability: builtins.object) -> builtins.int: ...
def nvmlDeviceGetVgpuHeterogeneousMode(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceGetVgpuInstancesUtilizationInfo(handle: builtins.object, timeStamp: builtins.object) -> builtins.object: ...
def nvmlDeviceGetVgpuMetadata(handle: builtins.object) -> c_nvmlVgpuPgpuMetadata_t: ...
def nvmlDeviceGetVgpuProcessUtilization(handle: builtins.object, timeStamp: builtins.object) -> builtins.object: ...
def nvmlDeviceGetVgpuProcessesUtilizationInfo(handle: builtins.object, timeStamp: builtins.object) -> builtins.object: ...
def nvmlDeviceGetVgpuSchedulerCapabilities(handle: builtins.object) -> c_nvmlVgpuSchedulerCapabilities_t: ...
def nvmlDeviceGetVgpuSchedulerLog(handle: builtins.object) -> c_nvmlVgpuSchedulerLog_t: ...
def nvmlDeviceGetVgpuSchedulerLog_v2(handle: builtins.object, c_vgpu_sched_log_info_v2: builtins.object) -> builtins.object: ...
def nvmlDeviceGetVgpuSchedulerState(handle: builtins.object) -> c_nvmlVgpuSchedulerGetState_t: ...
def nvmlDeviceGetVgpuSchedulerState_v2(handle: builtins.object, c_vgpu_sched_state_info_v2: builtins.object) -> builtins.object: ...
def nvmlDeviceGetVgpuTypeCreatablePlacements(handle: builtins.object, vgpuTypeId: builtins.object, version: builtins.object=...) -> c_nvmlVgpuPlacementList_v1_t | c_nvmlVgpuPlacementList_v2_t: ...
def nvmlDeviceGetVgpuTypeSupportedPlacements(handle: builtins.object, vgpuTypeId: builtins.object, mode: builtins.object=..., version: builtins.object=...) -> c_nvmlVgpuPlacementList_v1_t | c_nvmlVgpuPlacementList_v2_t: ...
def nvmlDeviceGetVgpuUtilization(handle: builtins.object, timeStamp: builtins.object) -> builtins.object: ...
def nvmlDeviceGetViolationStatus(device: builtins.object, perfPolicyType: builtins.object) -> c_nvmlViolationTime_t: ...
def nvmlDeviceGetVirtualizationMode(handle: builtins.object) -> builtins.int: ...
def nvmlDeviceIsMigDeviceHandle(device: builtins.object) -> builtins.object: ...
def nvmlDeviceModifyDrainState(pciInfo: builtins.object, newState: builtins.object) -> None: ...
def nvmlDeviceOnSameBoard(handle1: builtins.object, handle2: builtins.object) -> builtins.object: ...
def nvmlDevicePerfMetricsGetSamples_v1(device: builtins.object, samples: builtins.object) -> builtins.object: ...
def nvmlDevicePowerSmoothingActivatePresetProfile(device: builtins.object, profile: builtins.object) -> None: ...
def nvmlDevicePowerSmoothingSetState(device: builtins.object, state: builtins.object) -> None: ...
def nvmlDevicePowerSmoothingUpdatePresetProfileParam(device: builtins.object, profile: builtins.object) -> None: ...
def nvmlDeviceQueryDrainState(pciInfo: builtins.object) -> builtins.int: ...
def nvmlDeviceReadPRMCounters_v1(handle: builtins.object, c_info: builtins.object) -> None: ...
def nvmlDeviceReadWritePRM_v1(handle: builtins.object, c_info: builtins.object) -> None: ...
def nvmlDeviceRegisterEvents(handle: builtins.object, eventTypes: builtins.object, eventSet: builtins.object) -> None: ...
def nvmlDeviceRemoveGpu(pciInfo: builtins.object) -> None: ...
def nvmlDeviceResetApplicationsClocks(handle: builtins.object) -> None: ...
def nvmlDeviceResetGpuLockedClocks(handle: builtins.object) -> None: ...
def nvmlDeviceResetMemoryLockedClocks(handle: builtins.object) -> None: ...
def nvmlDeviceResetNvLinkErrorCounters(device: builtins.object, link: builtins.object) -> None: ...
def nvmlDeviceResetNvLinkUtilizationCounter(device: builtins.object, link: builtins.object, counter: builtins.object) -> None: ...
def nvmlDeviceSetAPIRestriction(handle: builtins.object, apiType: builtins.object, isRestricted: builtins.object) -> None: ...
def nvmlDeviceSetAccountingMode(handle: builtins.object, mode: builtins.object) -> None: ...
def nvmlDeviceSetAdaptiveTgpMode_v1(device: builtins.object, mode: builtins.object) -> None: ...
def nvmlDeviceSetApplicationsClocks(handle: builtins.object, maxMemClockMHz: builtins.object, maxGraphicsClockMHz: builtins.object) -> None: ...
def nvmlDeviceSetAutoBoostedClocksEnabled(handle: builtins.object, enabled: builtins.object) -> None: ...
def nvmlDeviceSetClockOffsets(device: builtins.object, info: builtins.object) -> builtins.object: ...
def nvmlDeviceSetComputeMode(handle: builtins.object, mode: builtins.object) -> None: ...
def nvmlDeviceSetConfComputeUnprotectedMemSize(device: builtins.object, c_ccMemSize: builtins.object) -> builtins.object: ...
def nvmlDeviceSetCpuAffinity(handle: builtins.object) -> None: ...
def nvmlDeviceSetDefaultAutoBoostedClocksEnabled(handle: builtins.object, enabled: builtins.object, flags: builtins.object) -> None: ...
def nvmlDeviceSetDefaultFanSpeed_v2(handle: builtins.object, index: builtins.object) -> builtins.object: ...
def nvmlDeviceSetDramEncryptionMode(handle: builtins.object, mode: builtins.object) -> None: ...
def nvmlDeviceSetDriverModel(handle: builtins.object, model: builtins.object) -> None: ...
def nvmlDeviceSetEccMode(handle: builtins.object, mode: builtins.object) -> None: ...
def nvmlDeviceSetFanControlPolicy(handle: builtins.object, fan: builtins.object, fanControlPolicy: builtins.object) -> builtins.object: ...
def nvmlDeviceSetFanSpeed_v2(handle: builtins.object, index: builtins.object, speed: builtins.object) -> builtins.object: ...
def nvmlDeviceSetGpcClkVfOffset(device: builtins.object, offset: builtins.object) -> builtins.object: ...
def nvmlDeviceSetGpuLockedClocks(handle: builtins.object, minGpuClockMHz: builtins.object, maxGpuClockMHz: builtins.object) -> None: ...
def nvmlDeviceSetGpuOperationMode(handle: builtins.object, mode: builtins.object) -> None: ...
def nvmlDeviceSetHostname_v1(device: builtins.object, hostname: builtins.object) -> None: ...
def nvmlDeviceSetMemClkVfOffset(device: builtins.object, offset: builtins.object) -> builtins.object: ...
def nvmlDeviceSetMemoryLimits_v1(device: builtins.object, limits: builtins.object) -> None: ...
def nvmlDeviceSetMemoryLockedClocks(handle: builtins.object, minMemClockMHz: builtins.object, maxMemClockMHz: builtins.object) -> None: ...
def nvmlDeviceSetMigMode(device: builtins.object, mode: builtins.object) -> builtins.int: ...
def nvmlDeviceSetNvLinkDeviceLowPowerThreshold(device: builtins.object, l1threshold: builtins.object) -> builtins.object: ...
def nvmlDeviceSetNvLinkUtilizationControl(device: builtins.object, link: builtins.object, counter: builtins.object, control: builtins.object, reset: builtins.object) -> None: ...
def nvmlDeviceSetNvlinkBwMode(device: builtins.object, setBwMode: builtins.object) -> builtins.object: ...
def nvmlDeviceSetNvlinkBwModeAsync_v1(device: builtins.object, setBwModeAsync: builtins.object) -> builtins.object: ...
def nvmlDeviceSetPersistenceMode(handle: builtins.object, mode: builtins.object) -> None: ...
def nvmlDeviceSetPowerManagementLimit(handle: builtins.object, limit: builtins.object) -> None: ...
def nvmlDeviceSetPowerManagementLimit_v2(device: builtins.object, powerScope: builtins.object, powerLimit: builtins.object, version: builtins.object=...) -> builtins.object: ...
def nvmlDeviceSetPowerMizerMode_v1(device: builtins.object, info: builtins.object) -> builtins.object: ...
def nvmlDeviceSetRusdSettings_v1(device: builtins.object, settings: builtins.object) -> None: ...
def nvmlDeviceSetTemperatureThreshold(handle: builtins.object, threshold: builtins.object, temp: builtins.object) -> None: ...
def nvmlDeviceSetVgpuCapabilities(handle: builtins.object, capability: builtins.object, state: builtins.object) -> builtins.object: ...
def nvmlDeviceSetVgpuHeterogeneousMode(handle: builtins.object, heterogeneous_mode: builtins.object) -> builtins.object: ...
def nvmlDeviceSetVgpuSchedulerState(handle: builtins.object, sched_state: builtins.object) -> builtins.object: ...
def nvmlDeviceSetVgpuSchedulerState_v2(handle: builtins.object, sched_state_v2: builtins.object) -> builtins.object: ...
def nvmlDeviceSetVirtualizationMode(handle: builtins.object, virtualization_mode: builtins.object) -> builtins.object: ...
def nvmlDeviceValidateInforom(handle: builtins.object) -> None: ...
def nvmlDeviceVgpuForceGspUnload(handle: builtins.object) -> builtins.object: ...
def nvmlDeviceWorkloadPowerProfileClearRequestedProfiles(device: builtins.object, requestedProfiles: builtins.object) -> builtins.object: ...
def nvmlDeviceWorkloadPowerProfileGetCurrentProfiles(device: builtins.object, currentProfiles: builtins.object) -> builtins.object: ...
def nvmlDeviceWorkloadPowerProfileGetProfilesInfo(device: builtins.object, profilesInfo: builtins.object) -> builtins.object: ...
def nvmlDeviceWorkloadPowerProfileSetRequestedProfiles(device: builtins.object, requestedProfiles: builtins.object) -> builtins.object: ...
def nvmlDeviceWorkloadPowerProfileUpdateProfiles_v1(device: builtins.object, updateProfiles: builtins.object) -> builtins.object: ...
def nvmlErrorString(result: builtins.object) -> builtins.object: ...
def nvmlEventSetCreate() -> c_nvmlEventSet_t: ...
def nvmlEventSetFree(eventSet: builtins.object) -> None: ...
def nvmlEventSetGetContextCount_v1(eventSet: builtins.object, params: builtins.object) -> None: ...
def nvmlEventSetGetContextData_v1(eventSet: builtins.object, params: builtins.object) -> None: ...
def nvmlEventSetGetContextInfo_v1(eventSet: builtins.object, params: builtins.object) -> None: ...
def nvmlEventSetGetGpuOperationalEventContextLegacyXid_v1(eventSet: builtins.object, params: builtins.object) -> None: ...
def nvmlEventSetRegisterGpuOperationalEvents_v1(eventSet: builtins.object, config: builtins.object) -> None: ...
def nvmlEventSetWait(eventSet: builtins.object, timeoutms: builtins.object) -> c_nvmlEventData_t: ...
def nvmlEventSetWait_v2(eventSet: builtins.object, timeoutms: builtins.object) -> c_nvmlEventData_t: ...
def nvmlEventSetWait_v3(eventSet: builtins.object, params: builtins.object) -> None: ...
def nvmlExceptionClass(nvmlErrorCode: builtins.object) -> builtins.object: ...
def nvmlFriendlyObjectToStruct(obj: builtins.object, model: builtins.object) -> builtins.object: ...
def nvmlGetExcludedDeviceCount() -> builtins.int: ...
def nvmlGetExcludedDeviceInfoByIndex(index: builtins.object) -> c_nvmlExcludedDeviceInfo_t: ...
def nvmlGetVgpuCompatibility(vgpuMetadata: builtins.object, pgpuMetadata: builtins.object) -> c_nvmlVgpuPgpuCompatibility_t: ...
def nvmlGetVgpuDriverCapabilities(capability: builtins.object) -> builtins.int: ...
def nvmlGetVgpuVersion(supported: builtins.object=..., current: builtins.object=...) -> builtins.object: ...
def nvmlGpmMetricsGet(metricsGet: builtins.object) -> builtins.object: ...
def nvmlGpmMigSampleGet(device: builtins.object, gpuInstanceId: builtins.object, gpmSample: builtins.object) -> builtins.object: ...
def nvmlGpmQueryDeviceSupport(device: builtins.object) -> c_nvmlGpmSupport_t: ...
def nvmlGpmQueryIfStreamingEnabled(device: builtins.object) -> builtins.int: ...
def nvmlGpmSampleAlloc() -> c_nvmlGpmSample_t: ...
def nvmlGpmSampleFree(gpmSample: builtins.object) -> None: ...
def nvmlGpmSampleGet(device: builtins.object, gpmSample: builtins.object) -> builtins.object: ...
def nvmlGpmSetStreamingEnabled(device: builtins.object, state: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceCreateComputeInstance(gpuInstance: builtins.object, profileId: builtins.object) -> c_nvmlComputeInstance_t: ...
def nvmlGpuInstanceCreateComputeInstanceWithPlacement(gpuInstance: builtins.object, profileId: builtins.object, placement: builtins.object) -> c_nvmlComputeInstance_t: ...
def nvmlGpuInstanceDestroy(gpuInstance: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceGetActiveVgpus(gpuInstance: builtins.object, c_vgpu_instance_info: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceGetComputeInstanceById(gpuInstance: builtins.object, computeInstanceId: builtins.object) -> c_nvmlComputeInstance_t: ...
def nvmlGpuInstanceGetComputeInstancePossiblePlacements(gpuInstance: builtins.object, profileId: builtins.object, placementsRef: builtins.object, countRef: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceGetComputeInstanceProfileInfo(device: builtins.object, profile: builtins.object, engProfile: builtins.object, version: builtins.object=...) -> c_nvmlComputeInstanceProfileInfo_t | c_nvmlComputeInstanceProfileInfo_v2_t: ...
def nvmlGpuInstanceGetComputeInstanceProfileInfoV(device: builtins.object, profile: builtins.object, engProfile: builtins.object, version: builtins.object=...) -> builtins.object: ...
def nvmlGpuInstanceGetComputeInstanceRemainingCapacity(gpuInstance: builtins.object, profileId: builtins.object) -> builtins.int: ...
def nvmlGpuInstanceGetComputeInstances(gpuInstance: builtins.object, profileId: builtins.object, computeInstancesRef: builtins.object, countRef: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceGetCreatableVgpus(gpuInstance: builtins.object, c_vgpus: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceGetInfo(gpuInstance: builtins.object) -> c_nvmlGpuInstanceInfo_t: ...
def nvmlGpuInstanceGetVgpuHeterogeneousMode(gpuInstance: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceGetVgpuSchedulerLog(gpuInstance: builtins.object, c_vgpu_sched_log_info: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceGetVgpuSchedulerLog_v2(gpuInstance: builtins.object, c_vgpu_sched_log_info_v2: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceGetVgpuSchedulerState(gpuInstance: builtins.object, c_vgpu_sched_state_info: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceGetVgpuSchedulerState_v2(gpuInstance: builtins.object, c_vgpu_sched_state_info_v2: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceGetVgpuTypeCreatablePlacements(gpuInstance: builtins.object, c_vgpu_placements: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceSetVgpuHeterogeneousMode(gpuInstance: builtins.object, heterogeneous_mode: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceSetVgpuSchedulerState(gpuInstance: builtins.object, sched_state: builtins.object) -> builtins.object: ...
def nvmlGpuInstanceSetVgpuSchedulerState_v2(gpuInstance: builtins.object, sched_state_v2: builtins.object) -> builtins.object: ...
def nvmlInit() -> None: ...
def nvmlInitWithFlags(flags: builtins.object) -> None: ...
def nvmlSetVgpuVersion(vgpuVersion: builtins.object) -> builtins.object: ...
def nvmlShutdown() -> None: ...
def nvmlStructToFriendlyObject(struct: builtins.object) -> builtins.object: ...
def nvmlSystemEventSetCreate(version: builtins.object) -> builtins.object: ...
def nvmlSystemEventSetFree(version: builtins.object, setHandle: builtins.object) -> None: ...
def nvmlSystemEventSetWait(version: builtins.object, setHandle: builtins.object, timeoutMs: builtins.object, eventData: builtins.object, eventDataSize: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlSystemGetCPER_v1(cper: builtins.object) -> None: ...
def nvmlSystemGetConfComputeCapabilities() -> c_nvmlConfComputeSystemCaps_t: ...
def nvmlSystemGetConfComputeGpusReadyState() -> builtins.int: ...
def nvmlSystemGetConfComputeKeyRotationThresholdInfo() -> c_nvmlConfComputeGetKeyRotationThresholdInfo_t: ...
def nvmlSystemGetConfComputeSettings(settings: builtins.object) -> builtins.object: ...
def nvmlSystemGetConfComputeState() -> c_nvmlConfComputeSystemState_t: ...
def nvmlSystemGetCudaDriverVersion() -> builtins.int: ...
def nvmlSystemGetCudaDriverVersion_v2() -> builtins.int: ...
def nvmlSystemGetDriverBranch() -> c_nvmlSystemDriverBranchInfo_v1_t: ...
def nvmlSystemGetDriverVersion() -> builtins.str: ...
def nvmlSystemGetHicVersion() -> builtins.object: ...
def nvmlSystemGetNVMLVersion() -> builtins.str: ...
def nvmlSystemGetNvlinkBwMode() -> builtins.int: ...
def nvmlSystemGetProcessName(pid: builtins.object) -> builtins.str: ...
def nvmlSystemGetTopologyGpuSet(cpuNumber: builtins.object) -> builtins.object: ...
def nvmlSystemRegisterEvents(version: builtins.object, eventTypes: builtins.object, setHandle: builtins.object) -> None: ...
def nvmlSystemSetConfComputeGpusReadyState(state: builtins.object) -> builtins.object: ...
def nvmlSystemSetConfComputeKeyRotationThresholdInfo(max_atk_adv: builtins.object) -> builtins.object: ...
def nvmlSystemSetNvlinkBwMode(mode: builtins.object) -> builtins.object: ...
def nvmlUnitGetCount() -> builtins.int: ...
def nvmlUnitGetDeviceCount(unit: builtins.object) -> builtins.int: ...
def nvmlUnitGetDevices(unit: builtins.object) -> builtins.object: ...
def nvmlUnitGetFanSpeedInfo(unit: builtins.object) -> c_nvmlUnitFanSpeeds_t: ...
def nvmlUnitGetHandleByIndex(index: builtins.object) -> c_nvmlUnit_t: ...
def nvmlUnitGetLedState(unit: builtins.object) -> c_nvmlLedState_t: ...
def nvmlUnitGetPsuInfo(unit: builtins.object) -> c_nvmlPSUInfo_t: ...
def nvmlUnitGetTemperature(unit: builtins.object, type: builtins.object) -> builtins.int: ...
def nvmlUnitGetUnitInfo(unit: builtins.object) -> c_nvmlUnitInfo_t: ...
def nvmlUnitSetLedState(unit: builtins.object, color: builtins.object) -> None: ...
def nvmlVgpuInstanceClearAccountingPids(vgpuInstance: builtins.object) -> builtins.object: ...
def nvmlVgpuInstanceGetAccountingMode(vgpuInstance: builtins.object) -> builtins.int: ...
def nvmlVgpuInstanceGetAccountingPids(vgpuInstance: builtins.object) -> builtins.tuple[builtins.object, builtins.object]: ...
def nvmlVgpuInstanceGetAccountingStats(vgpuInstance: builtins.object, pid: builtins.object) -> c_nvmlAccountingStats_t: ...
def nvmlVgpuInstanceGetEccMode(vgpuInstance: builtins.object) -> builtins.int: ...
def nvmlVgpuInstanceGetEncoderCapacity(vgpuInstance: builtins.object) -> builtins.int: ...
def nvmlVgpuInstanceGetEncoderSessions(vgpuInstance: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlVgpuInstanceGetEncoderStats(vgpuInstance: builtins.object) -> builtins.tuple[builtins.int, builtins.int, builtins.int]: ...
def nvmlVgpuInstanceGetFBCSessions(vgpuInstance: builtins.object) -> builtins.list[builtins.object]: ...
def nvmlVgpuInstanceGetFBCStats(vgpuInstance: builtins.object) -> c_nvmlFBCStats_t: ...
def nvmlVgpuInstanceGetFbUsage(vgpuInstance: builtins.object) -> builtins.int: ...
def nvmlVgpuInstanceGetFrameRateLimit(vgpuInstance: builtins.object) -> builtins.int: ...
def nvmlVgpuInstanceGetGpuInstanceId(vgpuInstance: builtins.object) -> builtins.int: ...
def nvmlVgpuInstanceGetGpuPciId(vgpuInstance: builtins.object) -> builtins.str: ...
def nvmlVgpuInstanceGetLicenseInfo(vgpuInstance: builtins.object) -> c_nvmlVgpuLicenseInfo_t: ...
def nvmlVgpuInstanceGetLicenseInfo_v2(vgpuInstance: builtins.object) -> c_nvmlVgpuLicenseInfo_t: ...
def nvmlVgpuInstanceGetLicenseStatus(vgpuInstance: builtins.object) -> builtins.int: ...
def nvmlVgpuInstanceGetMdevUUID(vgpuInstance: builtins.object) -> builtins.str: ...
def nvmlVgpuInstanceGetMetadata(vgpuInstance: builtins.object) -> c_nvmlVgpuMetadata_t: ...
def nvmlVgpuInstanceGetPlacementId(vgpuInstance: builtins.object) -> builtins.object: ...
def nvmlVgpuInstanceGetRuntimeStateSize(vgpuInstance: builtins.object) -> nvmlVgpuRuntimeState_v1_t: ...
def nvmlVgpuInstanceGetType(vgpuInstance: builtins.object) -> builtins.int: ...
def nvmlVgpuInstanceGetUUID(vgpuInstance: builtins.object) -> builtins.str: ...
def nvmlVgpuInstanceGetVmDriverVersion(vgpuInstance: builtins.object) -> builtins.str: ...
def nvmlVgpuInstanceGetVmID(vgpuInstance: builtins.object) -> builtins.tuple[builtins.str, builtins.int]: ...
def nvmlVgpuInstanceSetEncoderCapacity(vgpuInstance: builtins.object, encoder_capacity: builtins.object) -> builtins.object: ...
def nvmlVgpuTypeGetBAR1Info(vgpuTypeId: builtins.object) -> c_nvmlVgpuTypeBar1Info_v1_t: ...
def nvmlVgpuTypeGetCapabilities(vgpuTypeId: builtins.object, capability: builtins.object) -> builtins.int: ...
def nvmlVgpuTypeGetClass(vgpuTypeId: builtins.object) -> builtins.str: ...
def nvmlVgpuTypeGetDeviceID(vgpuTypeId: builtins.object) -> builtins.tuple[builtins.int, builtins.int]: ...
def nvmlVgpuTypeGetFbReservation(vgpuTypeId: builtins.object) -> builtins.int: ...
def nvmlVgpuTypeGetFrameRateLimit(vgpuTypeId: builtins.object) -> builtins.int: ...
def nvmlVgpuTypeGetFramebufferSize(vgpuTypeId: builtins.object) -> builtins.int: ...
def nvmlVgpuTypeGetGpuInstanceProfileId(vgpuTypeId: builtins.object) -> builtins.int: ...
def nvmlVgpuTypeGetGspHeapSize(vgpuTypeId: builtins.object) -> builtins.int: ...
def nvmlVgpuTypeGetLicense(vgpuTypeId: builtins.object) -> builtins.str: ...
def nvmlVgpuTypeGetMaxInstances(handle: builtins.object, vgpuTypeId: builtins.object) -> builtins.int: ...
def nvmlVgpuTypeGetMaxInstancesPerGpuInstance(vgpuTypeId: builtins.object) -> builtins.object: ...
def nvmlVgpuTypeGetMaxInstancesPerVm(vgpuTypeId: builtins.object) -> builtins.int: ...
def nvmlVgpuTypeGetName(vgpuTypeId: builtins.object) -> builtins.str: ...
def nvmlVgpuTypeGetNumDisplayHeads(vgpuTypeId: builtins.object) -> builtins.int: ...
def nvmlVgpuTypeGetResolution(vgpuTypeId: builtins.object) -> builtins.tuple[builtins.int, builtins.int]: ...
def throwOnVersionMismatch(func: builtins.object) -> builtins.object: ...
ConfComputeGetKeyRotationThresholdInfo_v1: builtins.int
ConfComputeSetKeyRotationThresholdInfo_v1: builtins.int
DEFAULT_MODE: builtins.int
MAX_CLK_DOMAINS: builtins.int
NVML_ADAPTIVE_CLOCKING_INFO_STATUS_DISABLED: builtins.int
NVML_ADAPTIVE_CLOCKING_INFO_STATUS_ENABLED: builtins.int
NVML_AFFINITY_SCOPE_NODE: builtins.int
NVML_AFFINITY_SCOPE_SOCKET: builtins.int
NVML_AGGREGATE_ECC: builtins.int
NVML_BRAND_COUNT: builtins.int
NVML_BRAND_GEFORCE: builtins.int
NVML_BRAND_GEFORCE_RTX: builtins.int
NVML_BRAND_GRID: builtins.int
NVML_BRAND_NVIDIA: builtins.int
NVML_BRAND_NVIDIA_CLOUD_GAMING: builtins.int
NVML_BRAND_NVIDIA_DLA: builtins.int
NVML_BRAND_NVIDIA_NPU: builtins.int
NVML_BRAND_NVIDIA_RTX: builtins.int
NVML_BRAND_NVIDIA_VAPPS: builtins.int
NVML_BRAND_NVIDIA_VCS: builtins.int
NVML_BRAND_NVIDIA_VGAMEDEV: builtins.int
NVML_BRAND_NVIDIA_VGAMING: builtins.int
NVML_BRAND_NVIDIA_VPC: builtins.int
NVML_BRAND_NVIDIA_VWS: builtins.int
NVML_BRAND_NVS: builtins.int
NVML_BRAND_QUADRO: builtins.int
NVML_BRAND_QUADRO_RTX: builtins.int
NVML_BRAND_TESLA: builtins.int
NVML_BRAND_TITAN: builtins.int
NVML_BRAND_TITAN_RTX: builtins.int
NVML_BRAND_UNKNOWN: builtins.int
NVML_BRIDGE_CHIP_BRO4: builtins.int
NVML_BRIDGE_CHIP_PLX: builtins.int
NVML_BUS_TYPE_AGP: builtins.int
NVML_BUS_TYPE_FPCI: builtins.int
NVML_BUS_TYPE_PCI: builtins.int
NVML_BUS_TYPE_PCIE: builtins.int
NVML_BUS_TYPE_UNKNOWN: builtins.int
NVML_C2C_POWER_STATE_FULL_POWER: builtins.int
NVML_C2C_POWER_STATE_LOW_POWER: builtins.int
NVML_CC_ACCEPTING_CLIENT_REQUESTS_FALSE: builtins.int
NVML_CC_ACCEPTING_CLIENT_REQUESTS_TRUE: builtins.int
NVML_CC_CEC_ATTESTATION_REPORT_NOT_PRESENT: builtins.int
NVML_CC_CEC_ATTESTATION_REPORT_PRESENT: builtins.int
NVML_CC_GPU_ATTESTATION_REPORT_SIZE: builtins.int
NVML_CC_GPU_CEC_ATTESTATION_REPORT_SIZE: builtins.int
NVML_CC_GPU_CEC_NONCE_SIZE: builtins.int
NVML_CC_KEY_ROTATION_THRESH_ATTACKER_ADVANTAGE_MAX: builtins.int
NVML_CC_KEY_ROTATION_THRESH_ATTACKER_ADVANTAGE_MIN: builtins.int
NVML_CC_SYSTEM_CPU_CAPS_AMD_SEV: builtins.int
NVML_CC_SYSTEM_CPU_CAPS_AMD_SEV_SNP: builtins.int
NVML_CC_SYSTEM_CPU_CAPS_AMD_SNP_VTOM: builtins.int
NVML_CC_SYSTEM_CPU_CAPS_INTEL_TDX: builtins.int
NVML_CC_SYSTEM_CPU_CAPS_NONE: builtins.int
NVML_CC_SYSTEM_DEVTOOLS_MODE_OFF: builtins.int
NVML_CC_SYSTEM_DEVTOOLS_MODE_ON: builtins.int
NVML_CC_SYSTEM_ENVIRONMENT_PROD: builtins.int
NVML_CC_SYSTEM_ENVIRONMENT_SIM: builtins.int
NVML_CC_SYSTEM_ENVIRONMENT_UNAVAILABLE: builtins.int
NVML_CC_SYSTEM_FEATURE_DISABLED: builtins.int
NVML_CC_SYSTEM_FEATURE_ENABLED: builtins.int
NVML_CC_SYSTEM_GPUS_CC_CAPABLE: builtins.int
NVML_CC_SYSTEM_GPUS_CC_NOT_CAPABLE: builtins.int
NVML_CC_SYSTEM_MULTIGPU_NONE: builtins.int
NVML_CC_SYSTEM_MULTIGPU_NVLE: builtins.int
NVML_CC_SYSTEM_MULTIGPU_PROTECTED_PCIE: builtins.int
NVML_CLOCK_COUNT: builtins.int
NVML_CLOCK_GRAPHICS: builtins.int
NVML_CLOCK_ID_APP_CLOCK_DEFAULT: builtins.int
NVML_CLOCK_ID_APP_CLOCK_TARGET: builtins.int
NVML_CLOCK_ID_COUNT: builtins.int
NVML_CLOCK_ID_CURRENT: builtins.int
NVML_CLOCK_ID_CUSTOMER_BOOST_MAX: builtins.int
NVML_CLOCK_LIMIT_ID_RANGE_START: builtins.int
NVML_CLOCK_LIMIT_ID_TDP: builtins.int
NVML_CLOCK_LIMIT_ID_UNLIMITED: builtins.int
NVML_CLOCK_MEM: builtins.int
NVML_CLOCK_SM: builtins.int
NVML_CLOCK_VIDEO: builtins.int
NVML_COMPUTEMODE_COUNT: builtins.int
NVML_COMPUTEMODE_DEFAULT: builtins.int
NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: builtins.int
NVML_COMPUTEMODE_EXCLUSIVE_THREAD: builtins.int
NVML_COMPUTEMODE_PROHIBITED: builtins.int
NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_COUNT: builtins.int
NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED: builtins.int
NVML_COMPUTE_INSTANCE_ID_ANY: builtins.int
NVML_COMPUTE_INSTANCE_PROFILE_1_SLICE: builtins.int
NVML_COMPUTE_INSTANCE_PROFILE_1_SLICE_REV1: builtins.int
NVML_COMPUTE_INSTANCE_PROFILE_2_SLICE: builtins.int
NVML_COMPUTE_INSTANCE_PROFILE_3_SLICE: builtins.int
NVML_COMPUTE_INSTANCE_PROFILE_4_SLICE: builtins.int
NVML_COMPUTE_INSTANCE_PROFILE_6_SLICE: builtins.int
NVML_COMPUTE_INSTANCE_PROFILE_7_SLICE: builtins.int
NVML_COMPUTE_INSTANCE_PROFILE_7_SLICE_NVL: builtins.int
NVML_COMPUTE_INSTANCE_PROFILE_8_SLICE: builtins.int
NVML_COMPUTE_INSTANCE_PROFILE_COUNT: builtins.int
NVML_CPER_ACCESS_TYPE_GPU: builtins.int
NVML_CPER_CURSOR_HANDLE_INIT: builtins.int
NVML_DEC_UTILIZATION_SAMPLES: builtins.int
NVML_DETACH_GPU_KEEP: builtins.int
NVML_DETACH_GPU_REMOVE: builtins.int
NVML_DEVICE_ADDRESSING_MODE_ATS: builtins.int
NVML_DEVICE_ADDRESSING_MODE_HMM: builtins.int
NVML_DEVICE_ADDRESSING_MODE_NONE: builtins.int
NVML_DEVICE_ARCH_ADA: builtins.int
NVML_DEVICE_ARCH_AMPERE: builtins.int
NVML_DEVICE_ARCH_BLACKWELL: builtins.int
NVML_DEVICE_ARCH_DLA: builtins.int
NVML_DEVICE_ARCH_DLA2: builtins.int
NVML_DEVICE_ARCH_HOPPER: builtins.int
NVML_DEVICE_ARCH_KEPLER: builtins.int
NVML_DEVICE_ARCH_MAXWELL: builtins.int
NVML_DEVICE_ARCH_NPU3: builtins.int
NVML_DEVICE_ARCH_PASCAL: builtins.int
NVML_DEVICE_ARCH_RUBIN: builtins.int
NVML_DEVICE_ARCH_TURING: builtins.int
NVML_DEVICE_ARCH_UNKNOWN: builtins.int
NVML_DEVICE_ARCH_VOLTA: builtins.int
NVML_DEVICE_GPU_FRU_PART_NUMBER_BUFFER_SIZE: builtins.int
NVML_DEVICE_GPU_PART_NUMBER_BUFFER_SIZE: builtins.int
NVML_DEVICE_HOSTNAME_BUFFER_SIZE: builtins.int
NVML_DEVICE_INFOROM_VERSION_BUFFER_SIZE: builtins.int
NVML_DEVICE_MEMORY_LIMIT_MAX: builtins.int
NVML_DEVICE_MIG_DISABLE: builtins.int
NVML_DEVICE_MIG_ENABLE: builtins.int
NVML_DEVICE_NAME_BUFFER_SIZE: builtins.int
NVML_DEVICE_NAME_V2_BUFFER_SIZE: builtins.int
NVML_DEVICE_PART_NUMBER_BUFFER_SIZE: builtins.int
NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE: builtins.int
NVML_DEVICE_PCI_BUS_ID_BUFFER_V2_SIZE: builtins.int
NVML_DEVICE_PCI_BUS_ID_FMT: builtins.str
NVML_DEVICE_PCI_BUS_ID_LEGACY_FMT: builtins.str
NVML_DEVICE_SERIAL_BUFFER_SIZE: builtins.int
NVML_DEVICE_UUID_ASCII_LEN: builtins.int
NVML_DEVICE_UUID_BINARY_LEN: builtins.int
NVML_DEVICE_UUID_BUFFER_SIZE: builtins.int
NVML_DEVICE_UUID_V2_BUFFER_SIZE: builtins.int
NVML_DEVICE_VBIOS_VERSION_BUFFER_SIZE: builtins.int
NVML_DEVICE_VGPU_CAP_COMPUTE_MEDIA_ENGINE_GPU: builtins.int
NVML_DEVICE_VGPU_CAP_COUNT: builtins.int
NVML_DEVICE_VGPU_CAP_DEVICE_STREAMING: builtins.int
NVML_DEVICE_VGPU_CAP_FRACTIONAL_MULTI_VGPU: builtins.int
NVML_DEVICE_VGPU_CAP_HETEROGENEOUS_TIMESLICE_PROFILES: builtins.int
NVML_DEVICE_VGPU_CAP_HETEROGENEOUS_TIMESLICE_SIZES: builtins.int
NVML_DEVICE_VGPU_CAP_HOMOGENEOUS_PLACEMENTS: builtins.int
NVML_DEVICE_VGPU_CAP_MIG_TIMESLICING_ENABLED: builtins.int
NVML_DEVICE_VGPU_CAP_MIG_TIMESLICING_SUPPORTED: builtins.int
NVML_DEVICE_VGPU_CAP_MINI_QUARTER_GPU: builtins.int
NVML_DEVICE_VGPU_CAP_READ_DEVICE_BUFFER_BW: builtins.int
NVML_DEVICE_VGPU_CAP_WARM_UPDATE: builtins.int
NVML_DEVICE_VGPU_CAP_WRITE_DEVICE_BUFFER_BW: builtins.int
NVML_DEV_CAP_EGM: builtins.int
NVML_DOUBLE_BIT_ECC: builtins.int
NVML_DRIVER_MCDM: builtins.int
NVML_DRIVER_WDDM: builtins.int
NVML_DRIVER_WDM: builtins.int
NVML_ECC_COUNTER_TYPE_COUNT: builtins.int
NVML_ECC_ERROR_TYPE_COUNT: builtins.int
NVML_ENCODER_QUERY_AV1: builtins.int
NVML_ENCODER_QUERY_H264: builtins.int
NVML_ENCODER_QUERY_HEVC: builtins.int
NVML_ENCODER_QUERY_UNKNOWN: builtins.int
NVML_ENC_UTILIZATION_SAMPLES: builtins.int
NVML_ERROR_ALREADY_INITIALIZED: builtins.int
NVML_ERROR_ARGUMENT_VERSION_MISMATCH: builtins.int
NVML_ERROR_CORRUPTED_INFOROM: builtins.int
NVML_ERROR_DEPRECATED: builtins.int
NVML_ERROR_DRIVER_NOT_LOADED: builtins.int
NVML_ERROR_FREQ_NOT_SUPPORTED: builtins.int
NVML_ERROR_FUNCTION_NOT_FOUND: builtins.int
NVML_ERROR_GPU_IS_LOST: builtins.int
NVML_ERROR_GPU_NOT_FOUND: builtins.int
NVML_ERROR_INSUFFICIENT_POWER: builtins.int
NVML_ERROR_INSUFFICIENT_RESOURCES: builtins.int
NVML_ERROR_INSUFFICIENT_SIZE: builtins.int
NVML_ERROR_INVALID_ARGUMENT: builtins.int
NVML_ERROR_INVALID_STATE: builtins.int
NVML_ERROR_IN_USE: builtins.int
NVML_ERROR_IRQ_ISSUE: builtins.int
NVML_ERROR_LIBRARY_NOT_FOUND: builtins.int
NVML_ERROR_LIB_RM_VERSION_MISMATCH: builtins.int
NVML_ERROR_MEMORY: builtins.int
NVML_ERROR_NOT_FOUND: builtins.int
NVML_ERROR_NOT_READY: builtins.int
NVML_ERROR_NOT_SUPPORTED: builtins.int
NVML_ERROR_NO_DATA: builtins.int
NVML_ERROR_NO_PERMISSION: builtins.int
NVML_ERROR_OPERATING_SYSTEM: builtins.int
NVML_ERROR_RESET_REQUIRED: builtins.int
NVML_ERROR_RESET_TYPE_NOT_SUPPORTED: builtins.int
NVML_ERROR_TIMEOUT: builtins.int
NVML_ERROR_UNINITIALIZED: builtins.int
NVML_ERROR_UNKNOWN: builtins.int
NVML_ERROR_VGPU_ECC_NOT_SUPPORTED: builtins.int
NVML_EVENT_DATA_TYPE_GPU_OPERATIONAL_EVENT: builtins.int
NVML_EVENT_DATA_TYPE_NVML_EVENT: builtins.int
NVML_FAN_FAILED: builtins.int
NVML_FAN_NORMAL: builtins.int
NVML_FAN_POLICY_MANUAL: builtins.int
NVML_FAN_POLICY_TEMPERATURE_CONTINOUS_SW: builtins.int
NVML_FBC_SESSION_TYPE_CUDA: builtins.int
NVML_FBC_SESSION_TYPE_HWENC: builtins.int
NVML_FBC_SESSION_TYPE_TOSYS: builtins.int
NVML_FBC_SESSION_TYPE_UNKNOWN: builtins.int
NVML_FBC_SESSION_TYPE_VID: builtins.int
NVML_FEATURE_DISABLED: builtins.int
NVML_FEATURE_ENABLED: builtins.int
NVML_FI_DEV_ACTIVE_BANK_REMAPPINGS: builtins.int
NVML_FI_DEV_BANK_REMAPPER_HISTOGRAM_MAX: builtins.int
NVML_FI_DEV_BANK_REMAPPER_HISTOGRAM_NONE: builtins.int
NVML_FI_DEV_C2C_LINK_COUNT: builtins.int
NVML_FI_DEV_C2C_LINK_ERROR_INTR: builtins.int
NVML_FI_DEV_C2C_LINK_ERROR_REPLAY: builtins.int
NVML_FI_DEV_C2C_LINK_ERROR_REPLAY_B2B: builtins.int
NVML_FI_DEV_C2C_LINK_GET_MAX_BW: builtins.int
NVML_FI_DEV_C2C_LINK_GET_STATUS: builtins.int
NVML_FI_DEV_C2C_LINK_POWER_STATE: builtins.int
NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN: builtins.int
NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN: builtins.int
NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP: builtins.int
NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN: builtins.int
NVML_FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST: builtins.int
NVML_FI_DEV_DRAIN_AND_RESET_STATUS: builtins.int
NVML_FI_DEV_ECC_CURRENT: builtins.int
NVML_FI_DEV_ECC_DBE_AGG_CBU: builtins.int
NVML_FI_DEV_ECC_DBE_AGG_DEV: builtins.int
NVML_FI_DEV_ECC_DBE_AGG_L1: builtins.int
NVML_FI_DEV_ECC_DBE_AGG_L2: builtins.int
NVML_FI_DEV_ECC_DBE_AGG_REG: builtins.int
NVML_FI_DEV_ECC_DBE_AGG_TEX: builtins.int
NVML_FI_DEV_ECC_DBE_AGG_TOTAL: builtins.int
NVML_FI_DEV_ECC_DBE_VOL_CBU: builtins.int
NVML_FI_DEV_ECC_DBE_VOL_DEV: builtins.int
NVML_FI_DEV_ECC_DBE_VOL_L1: builtins.int
NVML_FI_DEV_ECC_DBE_VOL_L2: builtins.int
NVML_FI_DEV_ECC_DBE_VOL_REG: builtins.int
NVML_FI_DEV_ECC_DBE_VOL_TEX: builtins.int
NVML_FI_DEV_ECC_DBE_VOL_TOTAL: builtins.int
NVML_FI_DEV_ECC_PENDING: builtins.int
NVML_FI_DEV_ECC_SBE_AGG_DEV: builtins.int
NVML_FI_DEV_ECC_SBE_AGG_L1: builtins.int
NVML_FI_DEV_ECC_SBE_AGG_L2: builtins.int
NVML_FI_DEV_ECC_SBE_AGG_REG: builtins.int
NVML_FI_DEV_ECC_SBE_AGG_TEX: builtins.int
NVML_FI_DEV_ECC_SBE_AGG_TOTAL: builtins.int
NVML_FI_DEV_ECC_SBE_VOL_DEV: builtins.int
NVML_FI_DEV_ECC_SBE_VOL_L1: builtins.int
NVML_FI_DEV_ECC_SBE_VOL_L2: builtins.int
NVML_FI_DEV_ECC_SBE_VOL_REG: builtins.int
NVML_FI_DEV_ECC_SBE_VOL_TEX: builtins.int
NVML_FI_DEV_ECC_SBE_VOL_TOTAL: builtins.int
NVML_FI_DEV_EDPP_MULTIPLIER: builtins.int
NVML_FI_DEV_ENERGY: builtins.int
NVML_FI_DEV_GET_GPU_RECOVERY_ACTION: builtins.int
NVML_FI_DEV_INACTIVE_BANK_REMAPPINGS: builtins.int
NVML_FI_DEV_IS_MIG_MODE_INDEPENDENT_MIG_QUERY_CAPABLE: builtins.int
NVML_FI_DEV_IS_RESETLESS_MIG_SUPPORTED: builtins.int
NVML_FI_DEV_MCLK_MIN_SWITCH_INTERVAL_MILLISECONDS: builtins.int
NVML_FI_DEV_MCLK_SWITCH_TYPE: builtins.int
NVML_FI_DEV_MEMORY_TEMP: builtins.int
NVML_FI_DEV_MMA_STALL_PERCENT: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L0: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L1: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L10: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L11: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L2: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L3: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L4: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L5: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L6: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L7: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L8: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_L9: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C0_TOTAL: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L0: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L1: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L10: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L11: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L2: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L3: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L4: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L5: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L6: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L7: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L8: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_L9: builtins.int
NVML_FI_DEV_NVLINK_BANDWIDTH_C1_TOTAL: builtins.int
NVML_FI_DEV_NVLINK_COUNT_BUFFER_OVERRUN_ERRORS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_BER: builtins.int
NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_ERRORS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_0: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_1: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_10: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_11: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_12: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_13: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_14: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_15: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_2: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_3: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_4: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_5: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_6: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_7: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_8: builtins.int
NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_9: builtins.int
NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_EVENTS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_SUCCESSFUL_EVENTS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_LOCAL_LINK_INTEGRITY_ERRORS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_MALFORMED_PACKET_ERRORS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RAW_BER: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RAW_BER_LANE0: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RAW_BER_LANE0_V2: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RAW_BER_LANE1: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RAW_BER_LANE1_V2: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RAW_BER_V2: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RAW_ERRORS_LANE0: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RAW_ERRORS_LANE1: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RCV_BYTES: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RCV_ERRORS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RCV_GENERAL_ERRORS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RCV_PACKETS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_RCV_REMOTE_ERRORS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_SYMBOL_BER: builtins.int
NVML_FI_DEV_NVLINK_COUNT_SYMBOL_ERRORS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_VL15_DROPPED: builtins.int
NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES: builtins.int
NVML_FI_DEV_NVLINK_COUNT_XMIT_DISCARDS: builtins.int
NVML_FI_DEV_NVLINK_COUNT_XMIT_PACKETS: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L0: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L1: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L10: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L11: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L2: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L3: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L4: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L5: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L6: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L7: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L8: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L9: builtins.int
NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L0: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L1: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L10: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L11: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L2: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L3: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L4: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L5: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L6: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L7: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L8: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L9: builtins.int
NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L0: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L1: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L10: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L11: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L2: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L3: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L4: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L5: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L6: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L7: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L8: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L9: builtins.int
NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_TOTAL: builtins.int
NVML_FI_DEV_NVLINK_ERROR_DL_CRC: builtins.int
NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY: builtins.int
NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY: builtins.int
NVML_FI_DEV_NVLINK_GET_DATA_RATE: builtins.int
NVML_FI_DEV_NVLINK_GET_POWER_STATE: builtins.int
NVML_FI_DEV_NVLINK_GET_POWER_THRESHOLD: builtins.int
NVML_FI_DEV_NVLINK_GET_POWER_THRESHOLD_MAX: builtins.int
NVML_FI_DEV_NVLINK_GET_POWER_THRESHOLD_MIN: builtins.int
NVML_FI_DEV_NVLINK_GET_POWER_THRESHOLD_SUPPORTED: builtins.int
NVML_FI_DEV_NVLINK_GET_POWER_THRESHOLD_UNITS: builtins.int
NVML_FI_DEV_NVLINK_GET_SPEED: builtins.int
NVML_FI_DEV_NVLINK_GET_STATE: builtins.int
NVML_FI_DEV_NVLINK_GET_VERSION: builtins.int
NVML_FI_DEV_NVLINK_LINK_COUNT: builtins.int
NVML_FI_DEV_NVLINK_PLR_XMIT_BLOCKS: builtins.int
NVML_FI_DEV_NVLINK_PLR_XMIT_RETRY_BLOCKS: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L0: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L1: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L10: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L11: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L2: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L3: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L4: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L5: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L6: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L7: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L8: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L9: builtins.int
NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL: builtins.int
NVML_FI_DEV_NVLINK_REMOTE_NVLINK_ID: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L0: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L1: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L10: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L11: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L2: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L3: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L4: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L5: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L6: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L7: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L8: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L9: builtins.int
NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L0: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L1: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L10: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L11: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L2: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L3: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L4: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L5: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L6: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L7: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L8: builtins.int
NVML_FI_DEV_NVLINK_SPEED_MBPS_L9: builtins.int
NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX: builtins.int
NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX: builtins.int
NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_RX: builtins.int
NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_TX: builtins.int
NVML_FI_DEV_NVSWITCH_CONNECTED_LINK_COUNT: builtins.int
NVML_FI_DEV_PCIE_COUNT_BAD_DLLP: builtins.int
NVML_FI_DEV_PCIE_COUNT_BAD_TLP: builtins.int
NVML_FI_DEV_PCIE_COUNT_CORRECTABLE_ERRORS: builtins.int
NVML_FI_DEV_PCIE_COUNT_FATAL_ERROR: builtins.int
NVML_FI_DEV_PCIE_COUNT_LANE_ERROR: builtins.int
NVML_FI_DEV_PCIE_COUNT_LCRC_ERROR: builtins.int
NVML_FI_DEV_PCIE_COUNT_NAKS_RECEIVED: builtins.int
NVML_FI_DEV_PCIE_COUNT_NAKS_SENT: builtins.int
NVML_FI_DEV_PCIE_COUNT_NON_FATAL_ERROR: builtins.int
NVML_FI_DEV_PCIE_COUNT_RECEIVER_ERROR: builtins.int
NVML_FI_DEV_PCIE_COUNT_RX_BYTES: builtins.int
NVML_FI_DEV_PCIE_COUNT_TX_BYTES: builtins.int
NVML_FI_DEV_PCIE_COUNT_UNSUPPORTED_REQ: builtins.int
NVML_FI_DEV_PCIE_INBOUND_ATOMICS_MASK: builtins.int
NVML_FI_DEV_PCIE_L0_TO_RECOVERY_COUNTER: builtins.int
NVML_FI_DEV_PCIE_OUTBOUND_ATOMICS_MASK: builtins.int
NVML_FI_DEV_PCIE_REPLAY_COUNTER: builtins.int
NVML_FI_DEV_PCIE_REPLAY_ROLLOVER_COUNTER: builtins.int
NVML_FI_DEV_PENDING_BANK_REMAPPING: builtins.int
NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT: builtins.int
NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION: builtins.int
NVML_FI_DEV_PERF_POLICY_POWER: builtins.int
NVML_FI_DEV_PERF_POLICY_RELIABILITY: builtins.int
NVML_FI_DEV_PERF_POLICY_SYNC_BOOST: builtins.int
NVML_FI_DEV_PERF_POLICY_THERMAL: builtins.int
NVML_FI_DEV_PERF_POLICY_TOTAL_APP_CLOCKS: builtins.int
NVML_FI_DEV_PERF_POLICY_TOTAL_BASE_CLOCKS: builtins.int
NVML_FI_DEV_POWER_AVERAGE: builtins.int
NVML_FI_DEV_POWER_CURRENT_LIMIT: builtins.int
NVML_FI_DEV_POWER_DEFAULT_LIMIT: builtins.int
NVML_FI_DEV_POWER_INSTANT: builtins.int
NVML_FI_DEV_POWER_MAX_LIMIT: builtins.int
NVML_FI_DEV_POWER_MIN_LIMIT: builtins.int
NVML_FI_DEV_POWER_REQUESTED_LIMIT: builtins.int
NVML_FI_DEV_POWER_SYNC_BALANCING_AF: builtins.int
NVML_FI_DEV_POWER_SYNC_BALANCING_FREQ: builtins.int
NVML_FI_DEV_REMAPPED_COR: builtins.int
NVML_FI_DEV_REMAPPED_FAILURE: builtins.int
NVML_FI_DEV_REMAPPED_PENDING: builtins.int
NVML_FI_DEV_REMAPPED_ROWS_COR_INACTIVE: builtins.int
NVML_FI_DEV_REMAPPED_ROWS_UNC_INACTIVE: builtins.int
NVML_FI_DEV_REMAPPED_UNC: builtins.int
NVML_FI_DEV_RESET_STATUS: builtins.int
NVML_FI_DEV_RETIRED_DBE: builtins.int
NVML_FI_DEV_RETIRED_PENDING: builtins.int
NVML_FI_DEV_RETIRED_PENDING_DBE: builtins.int
NVML_FI_DEV_RETIRED_PENDING_SBE: builtins.int
NVML_FI_DEV_RETIRED_SBE: builtins.int
NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT: builtins.int
NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT: builtins.int
NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT: builtins.int
NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT: builtins.int
NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION: builtins.int
NVML_FI_MAX: builtins.int
NVML_FI_PWR_SMOOTHING_ACTIVE_PRESET_PROFILE: builtins.int
NVML_FI_PWR_SMOOTHING_ADMIN_OVERRIDE_PERCENT_TMP_FLOOR: builtins.int
NVML_FI_PWR_SMOOTHING_ADMIN_OVERRIDE_PRIMARY_FLOOR_ACT_OFFSET: builtins.int
NVML_FI_PWR_SMOOTHING_ADMIN_OVERRIDE_PRIMARY_FLOOR_ACT_WIN_MULT: builtins.int
NVML_FI_PWR_SMOOTHING_ADMIN_OVERRIDE_PRIMARY_FLOOR_TAR_WIN_MULT: builtins.int
NVML_FI_PWR_SMOOTHING_ADMIN_OVERRIDE_RAMP_DOWN_HYST_VAL: builtins.int
NVML_FI_PWR_SMOOTHING_ADMIN_OVERRIDE_RAMP_DOWN_RATE: builtins.int
NVML_FI_PWR_SMOOTHING_ADMIN_OVERRIDE_RAMP_UP_RATE: builtins.int
NVML_FI_PWR_SMOOTHING_ADMIN_OVERRIDE_SECONDARY_POWER_FLOOR: builtins.int
NVML_FI_PWR_SMOOTHING_APPLIED_TMP_CEIL: builtins.int
NVML_FI_PWR_SMOOTHING_APPLIED_TMP_FLOOR: builtins.int
NVML_FI_PWR_SMOOTHING_DELAYED_PWR_SMOOTHING_SUPPORTED: builtins.int
NVML_FI_PWR_SMOOTHING_ENABLED: builtins.int
NVML_FI_PWR_SMOOTHING_HW_CIRCUITRY_PERCENT_LIFETIME_REMAINING: builtins.int
NVML_FI_PWR_SMOOTHING_IMM_RAMP_DOWN_ENABLED: builtins.int
NVML_FI_PWR_SMOOTHING_MAX_NUM_PRESET_PROFILES: builtins.int
NVML_FI_PWR_SMOOTHING_MAX_PERCENT_TMP_FLOOR_SETTING: builtins.int
NVML_FI_PWR_SMOOTHING_MIN_PERCENT_TMP_FLOOR_SETTING: builtins.int
NVML_FI_PWR_SMOOTHING_MIN_PRIMARY_FLOOR_ACT_OFFSET: builtins.int
NVML_FI_PWR_SMOOTHING_MIN_PRIMARY_FLOOR_ACT_POINT: builtins.int
NVML_FI_PWR_SMOOTHING_PRIMARY_POWER_FLOOR: builtins.int
NVML_FI_PWR_SMOOTHING_PRIV_LVL: builtins.int
NVML_FI_PWR_SMOOTHING_PROFILE_PERCENT_TMP_FLOOR: builtins.int
NVML_FI_PWR_SMOOTHING_PROFILE_PRIMARY_FLOOR_ACT_OFFSET: builtins.int
NVML_FI_PWR_SMOOTHING_PROFILE_PRIMARY_FLOOR_ACT_WIN_MULT: builtins.int
NVML_FI_PWR_SMOOTHING_PROFILE_PRIMARY_FLOOR_TAR_WIN_MULT: builtins.int
NVML_FI_PWR_SMOOTHING_PROFILE_RAMP_DOWN_HYST_VAL: builtins.int
NVML_FI_PWR_SMOOTHING_PROFILE_RAMP_DOWN_RATE: builtins.int
NVML_FI_PWR_SMOOTHING_PROFILE_RAMP_UP_RATE: builtins.int
NVML_FI_PWR_SMOOTHING_PROFILE_SECONDARY_POWER_FLOOR: builtins.int
NVML_FI_PWR_SMOOTHING_SECONDARY_POWER_FLOOR: builtins.int
NVML_FI_PWR_SMOOTHING_SOC_POWER_SMOOTHING_ENABLED: builtins.int
NVML_FI_PWR_SMOOTHING_WINDOW_MULTIPLIER: builtins.int
NVML_GOM_ALL_ON: builtins.int
NVML_GOM_COMPUTE: builtins.int
NVML_GOM_LOW_DP: builtins.int
NVML_GPM_METRICS_GET_VERSION: builtins.int
NVML_GPM_METRIC_ANY_TENSOR_UTIL: builtins.int
NVML_GPM_METRIC_C2C_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK0_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK0_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK0_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK0_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK10_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK10_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK10_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK10_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK11_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK11_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK11_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK11_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK12_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK12_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK12_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK12_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK13_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK13_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK13_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK13_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK1_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK1_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK1_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK1_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK2_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK2_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK2_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK2_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK3_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK3_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK3_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK3_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK4_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK4_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK4_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK4_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK5_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK5_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK5_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK5_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK6_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK6_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK6_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK6_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK7_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK7_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK7_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK7_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK8_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK8_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK8_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK8_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK9_DATA_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK9_DATA_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK9_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_LINK9_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_C2C_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_DFMA_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_DFMA_TENSOR_UTIL: builtins.int
NVML_GPM_METRIC_DMMA_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_DMMA_TENSOR_UTIL: builtins.int
NVML_GPM_METRIC_DRAM_BW_UTIL: builtins.int
NVML_GPM_METRIC_DRAM_CACHE_HIT: builtins.int
NVML_GPM_METRIC_DRAM_CACHE_MISS: builtins.int
NVML_GPM_METRIC_FP16_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_FP16_UTIL: builtins.int
NVML_GPM_METRIC_FP32_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_FP32_UTIL: builtins.int
NVML_GPM_METRIC_FP64_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_FP64_UTIL: builtins.int
NVML_GPM_METRIC_GR0_CTXSW_ACTIVE_PCT: builtins.int
NVML_GPM_METRIC_GR0_CTXSW_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_GR0_CTXSW_CYCLES_ELAPSED: builtins.int
NVML_GPM_METRIC_GR0_CTXSW_CYCLES_PER_REQ: builtins.int
NVML_GPM_METRIC_GR0_CTXSW_REQUESTS: builtins.int
NVML_GPM_METRIC_GR1_CTXSW_ACTIVE_PCT: builtins.int
NVML_GPM_METRIC_GR1_CTXSW_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_GR1_CTXSW_CYCLES_ELAPSED: builtins.int
NVML_GPM_METRIC_GR1_CTXSW_CYCLES_PER_REQ: builtins.int
NVML_GPM_METRIC_GR1_CTXSW_REQUESTS: builtins.int
NVML_GPM_METRIC_GR2_CTXSW_ACTIVE_PCT: builtins.int
NVML_GPM_METRIC_GR2_CTXSW_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_GR2_CTXSW_CYCLES_ELAPSED: builtins.int
NVML_GPM_METRIC_GR2_CTXSW_CYCLES_PER_REQ: builtins.int
NVML_GPM_METRIC_GR2_CTXSW_REQUESTS: builtins.int
NVML_GPM_METRIC_GR3_CTXSW_ACTIVE_PCT: builtins.int
NVML_GPM_METRIC_GR3_CTXSW_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_GR3_CTXSW_CYCLES_ELAPSED: builtins.int
NVML_GPM_METRIC_GR3_CTXSW_CYCLES_PER_REQ: builtins.int
NVML_GPM_METRIC_GR3_CTXSW_REQUESTS: builtins.int
NVML_GPM_METRIC_GR4_CTXSW_ACTIVE_PCT: builtins.int
NVML_GPM_METRIC_GR4_CTXSW_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_GR4_CTXSW_CYCLES_ELAPSED: builtins.int
NVML_GPM_METRIC_GR4_CTXSW_CYCLES_PER_REQ: builtins.int
NVML_GPM_METRIC_GR4_CTXSW_REQUESTS: builtins.int
NVML_GPM_METRIC_GR5_CTXSW_ACTIVE_PCT: builtins.int
NVML_GPM_METRIC_GR5_CTXSW_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_GR5_CTXSW_CYCLES_ELAPSED: builtins.int
NVML_GPM_METRIC_GR5_CTXSW_CYCLES_PER_REQ: builtins.int
NVML_GPM_METRIC_GR5_CTXSW_REQUESTS: builtins.int
NVML_GPM_METRIC_GR6_CTXSW_ACTIVE_PCT: builtins.int
NVML_GPM_METRIC_GR6_CTXSW_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_GR6_CTXSW_CYCLES_ELAPSED: builtins.int
NVML_GPM_METRIC_GR6_CTXSW_CYCLES_PER_REQ: builtins.int
NVML_GPM_METRIC_GR6_CTXSW_REQUESTS: builtins.int
NVML_GPM_METRIC_GR7_CTXSW_ACTIVE_PCT: builtins.int
NVML_GPM_METRIC_GR7_CTXSW_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_GR7_CTXSW_CYCLES_ELAPSED: builtins.int
NVML_GPM_METRIC_GR7_CTXSW_CYCLES_PER_REQ: builtins.int
NVML_GPM_METRIC_GR7_CTXSW_REQUESTS: builtins.int
NVML_GPM_METRIC_GRAPHICS_UTIL: builtins.int
NVML_GPM_METRIC_HMMA_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_HMMA_TENSOR_UTIL: builtins.int
NVML_GPM_METRIC_HOSTMEM_CACHE_HIT: builtins.int
NVML_GPM_METRIC_HOSTMEM_CACHE_MISS: builtins.int
NVML_GPM_METRIC_IMMA_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_IMMA_TENSOR_UTIL: builtins.int
NVML_GPM_METRIC_INTEGER_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_INTEGER_UTIL: builtins.int
NVML_GPM_METRIC_MAX: builtins.int
NVML_GPM_METRIC_MMA_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_NVDEC_0_UTIL: builtins.int
NVML_GPM_METRIC_NVDEC_1_UTIL: builtins.int
NVML_GPM_METRIC_NVDEC_2_UTIL: builtins.int
NVML_GPM_METRIC_NVDEC_3_UTIL: builtins.int
NVML_GPM_METRIC_NVDEC_4_UTIL: builtins.int
NVML_GPM_METRIC_NVDEC_5_UTIL: builtins.int
NVML_GPM_METRIC_NVDEC_6_UTIL: builtins.int
NVML_GPM_METRIC_NVDEC_7_UTIL: builtins.int
NVML_GPM_METRIC_NVENC_0_UTIL: builtins.int
NVML_GPM_METRIC_NVENC_1_UTIL: builtins.int
NVML_GPM_METRIC_NVENC_2_UTIL: builtins.int
NVML_GPM_METRIC_NVENC_3_UTIL: builtins.int
NVML_GPM_METRIC_NVJPG_0_UTIL: builtins.int
NVML_GPM_METRIC_NVJPG_1_UTIL: builtins.int
NVML_GPM_METRIC_NVJPG_2_UTIL: builtins.int
NVML_GPM_METRIC_NVJPG_3_UTIL: builtins.int
NVML_GPM_METRIC_NVJPG_4_UTIL: builtins.int
NVML_GPM_METRIC_NVJPG_5_UTIL: builtins.int
NVML_GPM_METRIC_NVJPG_6_UTIL: builtins.int
NVML_GPM_METRIC_NVJPG_7_UTIL: builtins.int
NVML_GPM_METRIC_NVLINK_L0_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L0_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L0_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L0_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L10_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L10_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L10_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L10_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L11_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L11_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L11_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L11_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L12_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L12_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L12_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L12_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L13_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L13_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L13_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L13_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L14_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L14_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L14_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L14_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L15_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L15_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L15_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L15_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L16_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L16_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L16_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L16_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L17_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L17_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L17_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L17_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L18_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L18_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L18_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L18_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L19_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L19_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L19_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L19_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L1_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L1_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L1_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L1_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L20_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L20_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L20_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L20_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L21_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L21_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L21_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L21_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L22_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L22_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L22_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L22_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L23_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L23_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L23_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L23_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L24_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L24_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L24_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L24_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L25_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L25_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L25_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L25_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L26_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L26_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L26_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L26_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L27_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L27_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L27_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L27_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L28_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L28_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L28_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L28_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L29_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L29_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L29_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L29_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L2_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L2_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L2_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L2_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L30_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L30_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L30_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L30_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L31_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L31_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L31_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L31_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L32_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L32_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L32_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L32_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L33_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L33_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L33_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L33_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L34_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L34_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L34_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L34_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L35_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L35_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L35_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L35_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L36_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L36_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L36_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L36_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L37_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L37_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L37_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L37_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L38_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L38_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L38_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L38_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L39_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L39_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L39_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L39_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L3_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L3_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L3_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L3_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L40_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L40_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L40_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L40_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L41_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L41_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L41_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L41_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L42_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L42_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L42_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L42_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L43_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L43_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L43_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L43_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L44_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L44_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L44_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L44_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L45_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L45_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L45_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L45_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L46_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L46_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L46_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L46_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L47_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L47_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L47_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L47_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L48_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L48_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L48_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L48_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L49_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L49_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L49_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L49_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L4_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L4_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L4_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L4_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L50_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L50_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L50_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L50_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L51_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L51_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L51_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L51_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L52_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L52_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L52_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L52_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L53_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L53_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L53_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L53_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L54_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L54_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L54_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L54_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L55_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L55_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L55_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L55_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L56_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L56_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L56_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L56_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L57_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L57_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L57_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L57_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L58_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L58_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L58_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L58_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L59_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L59_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L59_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L59_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L5_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L5_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L5_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L5_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L60_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L60_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L60_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L60_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L61_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L61_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L61_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L61_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L62_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L62_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L62_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L62_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L63_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L63_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L63_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L63_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L64_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L64_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L64_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L64_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L65_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L65_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L65_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L65_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L66_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L66_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L66_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L66_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L67_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L67_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L67_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L67_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L68_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L68_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L68_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L68_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L69_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L69_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L69_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L69_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L6_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L6_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L6_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L6_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L70_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L70_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L70_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L70_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L71_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L71_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L71_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L71_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L7_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L7_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L7_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L7_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L8_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L8_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L8_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L8_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L9_RX: builtins.int
NVML_GPM_METRIC_NVLINK_L9_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_L9_TX: builtins.int
NVML_GPM_METRIC_NVLINK_L9_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_NVOFA_0_UTIL: builtins.int
NVML_GPM_METRIC_NVOFA_1_UTIL: builtins.int
NVML_GPM_METRIC_PCIE_RX: builtins.int
NVML_GPM_METRIC_PCIE_RX_PER_SEC: builtins.int
NVML_GPM_METRIC_PCIE_TX: builtins.int
NVML_GPM_METRIC_PCIE_TX_PER_SEC: builtins.int
NVML_GPM_METRIC_PEERMEM_CACHE_HIT: builtins.int
NVML_GPM_METRIC_PEERMEM_CACHE_MISS: builtins.int
NVML_GPM_METRIC_SM_CYCLES_ACTIVE: builtins.int
NVML_GPM_METRIC_SM_CYCLES_ELAPSED: builtins.int
NVML_GPM_METRIC_SM_OCCUPANCY: builtins.int
NVML_GPM_METRIC_SM_UTIL: builtins.int
NVML_GPM_SUPPORT_VERSION: builtins.int
NVML_GPU_ATTESTATION_CERT_CHAIN_SIZE: builtins.int
NVML_GPU_CERT_CHAIN_SIZE: builtins.int
NVML_GPU_FABRIC_CLIQUE_MAX: builtins.int
NVML_GPU_FABRIC_CLIQUE_TYPE_MULTICAST_LOGICAL_ENDPOINT: builtins.int
NVML_GPU_FABRIC_CLIQUE_TYPE_MULTICAST_POINTER: builtins.int
NVML_GPU_FABRIC_CLIQUE_TYPE_UNICAST_LOGICAL_ENDPOINT: builtins.int
NVML_GPU_FABRIC_CLIQUE_TYPE_UNICAST_POINTER: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_ACCESS_TIMEOUT_RECOVERY_FALSE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_ACCESS_TIMEOUT_RECOVERY_NOT_SUPPORTED: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_ACCESS_TIMEOUT_RECOVERY_TRUE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_DEGRADED_BW_FALSE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_DEGRADED_BW_NOT_SUPPORTED: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_DEGRADED_BW_TRUE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_GFM_STATE_CONNECTED: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_GFM_STATE_DISCONNECTED: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_GFM_STATE_NOT_SUPPORTED: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_GPU_STATE_INVALID: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_INCOMPATIBLE_GPU_FW: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_INCORRECT_CHASSIS_SN: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_INCORRECT_SYSGUID: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_INSUFFICIENT_NVLINKS: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_INVALID_LOCATION: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_NONE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_NOT_SUPPORTED: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_NO_PARTITION: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIURATION_INVALID_LOCATION: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_PARTITION_ASSIGNED_FALSE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_PARTITION_ASSIGNED_NOT_SUPPORTED: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_PARTITION_ASSIGNED_TRUE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_ROUTE_RECOVERY_FALSE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_ROUTE_RECOVERY_NOT_SUPPORTED: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_ROUTE_RECOVERY_TRUE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_ROUTE_UNHEALTHY_FALSE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_ROUTE_UNHEALTHY_NOT_SUPPORTED: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_ROUTE_UNHEALTHY_TRUE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ACCESS_TIMEOUT_RECOVERY: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_DEGRADED_BW: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_GFM_STATE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_INCORRECT_CONFIGURATION: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_PARTITION_ASSIGNED: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_RECOVERY: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_UNHEALTHY: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_ACCESS_TIMEOUT_RECOVERY: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_DEGRADED_BW: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_GFM_STATE: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_INCORRECT_CONFIGURATION: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_PARTITION_ASSIGNED: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_ROUTE_RECOVERY: builtins.int
NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_ROUTE_UNHEALTHY: builtins.int
NVML_GPU_FABRIC_HEALTH_SUMMARY_HEALTHY: builtins.int
NVML_GPU_FABRIC_HEALTH_SUMMARY_LIMITED_CAPACITY: builtins.int
NVML_GPU_FABRIC_HEALTH_SUMMARY_NOT_SUPPORTED: builtins.int
NVML_GPU_FABRIC_HEALTH_SUMMARY_UNHEALTHY: builtins.int
NVML_GPU_FABRIC_STATE_COMPLETED: builtins.int
NVML_GPU_FABRIC_STATE_IN_PROGRESS: builtins.int
NVML_GPU_FABRIC_STATE_NOT_STARTED: builtins.int
NVML_GPU_FABRIC_STATE_NOT_SUPPORTED: builtins.int
NVML_GPU_FABRIC_UUID_LEN: builtins.int
NVML_GPU_INSTANCE_ID_ANY: builtins.int
NVML_GPU_INSTANCE_PROFILE_1_SLICE: builtins.int
NVML_GPU_INSTANCE_PROFILE_1_SLICE_ALL_ME: builtins.int
NVML_GPU_INSTANCE_PROFILE_1_SLICE_GFX: builtins.int
NVML_GPU_INSTANCE_PROFILE_1_SLICE_NO_ME: builtins.int
NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV1: builtins.int
NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV2: builtins.int
NVML_GPU_INSTANCE_PROFILE_2_SLICE: builtins.int
NVML_GPU_INSTANCE_PROFILE_2_SLICE_ALL_ME: builtins.int
NVML_GPU_INSTANCE_PROFILE_2_SLICE_GFX: builtins.int
NVML_GPU_INSTANCE_PROFILE_2_SLICE_NO_ME: builtins.int
NVML_GPU_INSTANCE_PROFILE_2_SLICE_REV1: builtins.int
NVML_GPU_INSTANCE_PROFILE_3_SLICE: builtins.int
NVML_GPU_INSTANCE_PROFILE_3_SLICE_GFX: builtins.int
NVML_GPU_INSTANCE_PROFILE_4_SLICE: builtins.int
NVML_GPU_INSTANCE_PROFILE_4_SLICE_GFX: builtins.int
NVML_GPU_INSTANCE_PROFILE_6_SLICE: builtins.int
NVML_GPU_INSTANCE_PROFILE_7_SLICE: builtins.int
NVML_GPU_INSTANCE_PROFILE_8_SLICE: builtins.int
NVML_GPU_INSTANCE_PROFILE_COUNT: builtins.int
NVML_GPU_NVLINK_BW_MODE_3QUARTER: builtins.int
NVML_GPU_NVLINK_BW_MODE_COUNT: builtins.int
NVML_GPU_NVLINK_BW_MODE_FULL: builtins.int
NVML_GPU_NVLINK_BW_MODE_HALF: builtins.int
NVML_GPU_NVLINK_BW_MODE_MIN: builtins.int
NVML_GPU_NVLINK_BW_MODE_OFF: builtins.int
NVML_GPU_OPERATIONAL_EVENT_CONTEXT_TYPE_LEGACY_XID: builtins.int
NVML_GPU_OPERATIONAL_EVENT_CONTEXT_TYPE_UNKNOWN: builtins.int
NVML_GPU_OPERATIONAL_EVENT_LOG_LEVEL_ALL: builtins.int
NVML_GPU_OPERATIONAL_EVENT_LOG_LEVEL_DIAG: builtins.int
NVML_GPU_OPERATIONAL_EVENT_LOG_LEVEL_ERROR: builtins.int
NVML_GPU_OPERATIONAL_EVENT_LOG_LEVEL_NOTICE: builtins.int
NVML_GPU_OPERATIONAL_EVENT_LOG_LEVEL_TELEMETRY: builtins.int
NVML_GPU_OPERATIONAL_EVENT_LOG_LEVEL_WARNING: builtins.int
NVML_GPU_RECOVERY_ACTION_BUS_RESET: builtins.int
NVML_GPU_RECOVERY_ACTION_DRAIN_AND_RESET: builtins.int
NVML_GPU_RECOVERY_ACTION_DRAIN_P2P: builtins.int
NVML_GPU_RECOVERY_ACTION_GPU_RESET: builtins.int
NVML_GPU_RECOVERY_ACTION_NODE_REBOOT: builtins.int
NVML_GPU_RECOVERY_ACTION_NONE: builtins.int
NVML_GPU_RECOVERY_ACTION_RECOVER_IMEX_DOMAIN: builtins.int
NVML_GPU_RECOVERY_ACTION_SYSTEM_REBOOT: builtins.int
NVML_GPU_UTILIZATION_DOMAIN_BUS: builtins.int
NVML_GPU_UTILIZATION_DOMAIN_FB: builtins.int
NVML_GPU_UTILIZATION_DOMAIN_GPU: builtins.int
NVML_GPU_UTILIZATION_DOMAIN_VID: builtins.int
NVML_GPU_UTILIZATION_SAMPLES: builtins.int
NVML_GPU_VIRTUALIZATION_MODE_HOST_VGPU: builtins.int
NVML_GPU_VIRTUALIZATION_MODE_HOST_VSGA: builtins.int
NVML_GPU_VIRTUALIZATION_MODE_NONE: builtins.int
NVML_GPU_VIRTUALIZATION_MODE_PASSTHROUGH: builtins.int
NVML_GPU_VIRTUALIZATION_MODE_VGPU: builtins.int
NVML_GRID_LICENSE_BUFFER_SIZE: builtins.int
NVML_GRID_LICENSE_EXPIRY_INVALID: builtins.tuple[builtins.object, ...]
NVML_GRID_LICENSE_EXPIRY_NOT_APPLICABLE: builtins.tuple[builtins.object, ...]
NVML_GRID_LICENSE_EXPIRY_NOT_AVAILABLE: builtins.tuple[builtins.object, ...]
NVML_GRID_LICENSE_EXPIRY_PERMANENT: builtins.tuple[builtins.object, ...]
NVML_GRID_LICENSE_EXPIRY_VALID: builtins.tuple[builtins.object, ...]
NVML_GRID_LICENSE_FEATURE_CODE_COMPUTE: builtins.int
NVML_GRID_LICENSE_FEATURE_CODE_GAMING: builtins.int
NVML_GRID_LICENSE_FEATURE_CODE_NVIDIA_RTX: builtins.int
NVML_GRID_LICENSE_FEATURE_CODE_UNKNOWN: builtins.int
NVML_GRID_LICENSE_FEATURE_CODE_VGAMEDEV: builtins.int
NVML_GRID_LICENSE_FEATURE_CODE_VGPU: builtins.int
NVML_GRID_LICENSE_FEATURE_CODE_VWORKSTATION: builtins.int
NVML_GRID_LICENSE_FEATURE_MAX_COUNT: builtins.int
NVML_GRID_LICENSE_STATE_LICENSED: builtins.int
NVML_GRID_LICENSE_STATE_UNINITIALIZED: builtins.int
NVML_GRID_LICENSE_STATE_UNKNOWN: builtins.int
NVML_GRID_LICENSE_STATE_UNLICENSED: builtins.int
NVML_GRID_LICENSE_STATE_UNLICENSED_RESTRICTED: builtins.int
NVML_GRID_LICENSE_STATE_UNLICENSED_UNRESTRICTED: builtins.int
NVML_GSP_FIRMWARE_VERSION_BUF_SIZE: builtins.int
NVML_HOST_VGPU_MODE_NON_SRIOV: builtins.int
NVML_HOST_VGPU_MODE_SRIOV: builtins.int
NVML_INFOROM_COUNT: builtins.int
NVML_INFOROM_DEN: builtins.int
NVML_INFOROM_ECC: builtins.int
NVML_INFOROM_OEM: builtins.int
NVML_INFOROM_POWER: builtins.int
NVML_INIT_FLAG_FORCE_INIT: builtins.int
NVML_INIT_FLAG_NO_ATTACH: builtins.int
NVML_INIT_FLAG_NO_GPUS: builtins.int
NVML_JPG_UTILIZATION_SAMPLES: builtins.int
NVML_LED_COLOR_AMBER: builtins.int
NVML_LED_COLOR_GREEN: builtins.int
NVML_MAX_GPC_COUNT: builtins.int
NVML_MAX_GPU_PERF_PSTATES: builtins.int
NVML_MAX_GPU_UTILIZATIONS: builtins.int
NVML_MAX_PHYSICAL_BRIDGE: builtins.int
NVML_MAX_THERMAL_SENSORS_PER_GPU: builtins.int
NVML_MCLK_SWITCH_TYPE_DEFERRED: builtins.int
NVML_MCLK_SWITCH_TYPE_NOT_SUPPORTED: builtins.int
NVML_MCLK_SWITCH_TYPE_RUNTIME: builtins.int
NVML_MEMORY_CLK_SAMPLES: builtins.int
NVML_MEMORY_ERROR_TYPE_CORRECTED: builtins.int
NVML_MEMORY_ERROR_TYPE_COUNT: builtins.int
NVML_MEMORY_ERROR_TYPE_UNCORRECTED: builtins.int
NVML_MEMORY_LOCATION_CBU: builtins.int
NVML_MEMORY_LOCATION_COUNT: builtins.int
NVML_MEMORY_LOCATION_DEVICE_MEMORY: builtins.int
NVML_MEMORY_LOCATION_DRAM: builtins.int
NVML_MEMORY_LOCATION_L1_CACHE: builtins.int
NVML_MEMORY_LOCATION_L2_CACHE: builtins.int
NVML_MEMORY_LOCATION_REGISTER_FILE: builtins.int
NVML_MEMORY_LOCATION_SRAM: builtins.int
NVML_MEMORY_LOCATION_TEXTURE_MEMORY: builtins.int
NVML_MEMORY_LOCATION_TEXTURE_SHM: builtins.int
NVML_MEMORY_UTILIZATION_SAMPLES: builtins.int
NVML_MODULE_POWER_SAMPLES: builtins.int
NVML_NVLINK_CAP_COUNT: builtins.int
NVML_NVLINK_CAP_P2P_ATOMICS: builtins.int
NVML_NVLINK_CAP_P2P_SUPPORTED: builtins.int
NVML_NVLINK_CAP_SLI_BRIDGE: builtins.int
NVML_NVLINK_CAP_SYSMEM_ACCESS: builtins.int
NVML_NVLINK_CAP_SYSMEM_ATOMICS: builtins.int
NVML_NVLINK_CAP_VALID: builtins.int
NVML_NVLINK_COUNTER_PKTFILTER_ALL: builtins.int
NVML_NVLINK_COUNTER_PKTFILTER_FLUSH: builtins.int
NVML_NVLINK_COUNTER_PKTFILTER_NOP: builtins.int
NVML_NVLINK_COUNTER_PKTFILTER_NRATOM: builtins.int
NVML_NVLINK_COUNTER_PKTFILTER_RATOM: builtins.int
NVML_NVLINK_COUNTER_PKTFILTER_READ: builtins.int
NVML_NVLINK_COUNTER_PKTFILTER_RESPDATA: builtins.int
NVML_NVLINK_COUNTER_PKTFILTER_RESPNODATA: builtins.int
NVML_NVLINK_COUNTER_PKTFILTER_WRITE: builtins.int
NVML_NVLINK_COUNTER_UNIT_BYTES: builtins.int
NVML_NVLINK_COUNTER_UNIT_COUNT: builtins.int
NVML_NVLINK_COUNTER_UNIT_CYCLES: builtins.int
NVML_NVLINK_COUNTER_UNIT_PACKETS: builtins.int
NVML_NVLINK_COUNTER_UNIT_RESERVED: builtins.int
NVML_NVLINK_DEVICE_TYPE_GPU: builtins.int
NVML_NVLINK_DEVICE_TYPE_IBMNPU: builtins.int
NVML_NVLINK_DEVICE_TYPE_SWITCH: builtins.int
NVML_NVLINK_DEVICE_TYPE_UNKNOWN: builtins.int
NVML_NVLINK_ERROR_COUNT: builtins.int
NVML_NVLINK_ERROR_DL_CRC_DATA: builtins.int
NVML_NVLINK_ERROR_DL_CRC_FLIT: builtins.int
NVML_NVLINK_ERROR_DL_ECC_COUNT: builtins.int
NVML_NVLINK_ERROR_DL_ECC_DATA: builtins.int
NVML_NVLINK_ERROR_DL_ECC_LANE0: builtins.int
NVML_NVLINK_ERROR_DL_ECC_LANE1: builtins.int
NVML_NVLINK_ERROR_DL_ECC_LANE2: builtins.int
NVML_NVLINK_ERROR_DL_ECC_LANE3: builtins.int
NVML_NVLINK_ERROR_DL_RECOVERY: builtins.int
NVML_NVLINK_ERROR_DL_REPLAY: builtins.int
NVML_NVLINK_FIRMWARE_UCODE_TYPE_MSE: builtins.int
NVML_NVLINK_FIRMWARE_UCODE_TYPE_NETIR: builtins.int
NVML_NVLINK_FIRMWARE_UCODE_TYPE_NETIR_CLN: builtins.int
NVML_NVLINK_FIRMWARE_UCODE_TYPE_NETIR_DLN: builtins.int
NVML_NVLINK_FIRMWARE_UCODE_TYPE_NETIR_UPHY: builtins.int
NVML_NVLINK_FIRMWARE_VERSION_LENGTH: builtins.int
NVML_NVLINK_LOW_POWER_THRESHOLD_DEFAULT: builtins.int
NVML_NVLINK_LOW_POWER_THRESHOLD_MAX: builtins.int
NVML_NVLINK_LOW_POWER_THRESHOLD_MIN: builtins.int
NVML_NVLINK_LOW_POWER_THRESHOLD_RESET: builtins.int
NVML_NVLINK_LOW_POWER_THRESHOLD_UNIT_100US: builtins.int
NVML_NVLINK_LOW_POWER_THRESHOLD_UNIT_50US: builtins.int
NVML_NVLINK_MAX_LANES: builtins.int
NVML_NVLINK_MAX_LINKS: builtins.int
NVML_NVLINK_POWER_STATE_HIGH_SPEED: builtins.int
NVML_NVLINK_POWER_STATE_LOW: builtins.int
NVML_NVLINK_STATE_ACTIVE: builtins.int
NVML_NVLINK_STATE_ACTIVE_TRAFFIC_DISABLED: builtins.int
NVML_NVLINK_STATE_INACTIVE: builtins.int
NVML_NVLINK_STATE_SLEEP: builtins.int
NVML_NVLINK_TELEMETRY_SAMPLE_TYPE_COUNT: builtins.int
NVML_NVLINK_TELEMETRY_SAMPLE_TYPE_THROUGHPUT_RAW_RX: builtins.int
NVML_NVLINK_TELEMETRY_SAMPLE_TYPE_THROUGHPUT_RAW_TX: builtins.int
NVML_NVLINK_TOTAL_SUPPORTED_BW_MODES: builtins.int
NVML_NVLINK_VERSION_1_0: builtins.int
NVML_NVLINK_VERSION_2_0: builtins.int
NVML_NVLINK_VERSION_2_2: builtins.int
NVML_NVLINK_VERSION_3_0: builtins.int
NVML_NVLINK_VERSION_3_1: builtins.int
NVML_NVLINK_VERSION_4_0: builtins.int
NVML_NVLINK_VERSION_5_0: builtins.int
NVML_NVLINK_VERSION_6_0: builtins.int
NVML_NVLINK_VERSION_INVALID: builtins.int
NVML_OFA_UTILIZATION_SAMPLES: builtins.int
NVML_OPERATIONAL_EVENT_ATTR_COMPONENT_RESET: builtins.int
NVML_OPERATIONAL_EVENT_ATTR_LATENT: builtins.int
NVML_OPERATIONAL_EVENT_ATTR_OVERFLOW: builtins.int
NVML_OPERATIONAL_EVENT_ATTR_PRIMARY: builtins.int
NVML_OPERATIONAL_EVENT_ATTR_PROPAGATED: builtins.int
NVML_OPERATIONAL_EVENT_ATTR_THRESHOLD_EXCEEDED: builtins.int
NVML_OPERATIONAL_EVENT_ATTR_UNCONTAINED: builtins.int
NVML_OPERATIONAL_EVENT_GROUP_ATTR_PREVERR: builtins.int
NVML_OPERATIONAL_EVENT_GROUP_ATTR_RECOVERED: builtins.int
NVML_OPERATIONAL_EVENT_GROUP_ATTR_SIMULATED: builtins.int
NVML_OPERATIONAL_EVENT_SEVERITY_ALL: builtins.int
NVML_OPERATIONAL_EVENT_SEVERITY_CORRECTED: builtins.int
NVML_OPERATIONAL_EVENT_SEVERITY_FATAL: builtins.int
NVML_OPERATIONAL_EVENT_SEVERITY_INFORMATIONAL: builtins.int
NVML_OPERATIONAL_EVENT_SEVERITY_RECOVERABLE: builtins.int
NVML_P2P_CAPS_INDEX_ATOMICS: builtins.int
NVML_P2P_CAPS_INDEX_NVLINK: builtins.int
NVML_P2P_CAPS_INDEX_PCI: builtins.int
NVML_P2P_CAPS_INDEX_PROP: builtins.int
NVML_P2P_CAPS_INDEX_READ: builtins.tuple[builtins.object, ...]
NVML_P2P_CAPS_INDEX_UNKNOWN: builtins.int
NVML_P2P_CAPS_INDEX_WRITE: builtins.int
NVML_P2P_STATUS_CHIPSET_NOT_SUPPORED: builtins.int
NVML_P2P_STATUS_CHIPSET_NOT_SUPPORTED: builtins.int
NVML_P2P_STATUS_DISABLED_BY_REGKEY: builtins.int
NVML_P2P_STATUS_GPU_NOT_SUPPORTED: builtins.int
NVML_P2P_STATUS_IOH_TOPOLOGY_NOT_SUPPORTED: builtins.int
NVML_P2P_STATUS_NOT_SUPPORTED: builtins.int
NVML_P2P_STATUS_OK: builtins.int
NVML_P2P_STATUS_UNKNOWN: builtins.int
NVML_PAGE_RETIREMENT_CAUSE_COUNT: builtins.int
NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR: builtins.int
NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS: builtins.int
NVML_PCIE_ATOMICS_CAP_CAS128: builtins.int
NVML_PCIE_ATOMICS_CAP_CAS32: builtins.int
NVML_PCIE_ATOMICS_CAP_CAS64: builtins.int
NVML_PCIE_ATOMICS_CAP_FETCHADD32: builtins.int
NVML_PCIE_ATOMICS_CAP_FETCHADD64: builtins.int
NVML_PCIE_ATOMICS_CAP_SWAP32: builtins.int
NVML_PCIE_ATOMICS_CAP_SWAP64: builtins.int
NVML_PCIE_ATOMICS_OPS_MAX: builtins.int
NVML_PCIE_LINK_KEEP: builtins.int
NVML_PCIE_LINK_MAX_SPEED_16000MBPS: builtins.int
NVML_PCIE_LINK_MAX_SPEED_2500MBPS: builtins.int
NVML_PCIE_LINK_MAX_SPEED_32000MBPS: builtins.int
NVML_PCIE_LINK_MAX_SPEED_5000MBPS: builtins.int
NVML_PCIE_LINK_MAX_SPEED_64000MBPS: builtins.int
NVML_PCIE_LINK_MAX_SPEED_8000MBPS: builtins.int
NVML_PCIE_LINK_MAX_SPEED_INVALID: builtins.int
NVML_PCIE_LINK_SHUT_DOWN: builtins.int
NVML_PCIE_UTIL_COUNT: builtins.int
NVML_PCIE_UTIL_RX_BYTES: builtins.int
NVML_PCIE_UTIL_TX_BYTES: builtins.int
NVML_PERF_CF_PM_SENSOR_MAX_SIGNALS: builtins.int
NVML_PERF_METRICS_CONTROLLER_DLPPC_2X_PWR_POLICY_RELATIONSHIP_SET_LIMITS_MAX: builtins.int
NVML_PERF_METRICS_CONTROLLER_SAMPLE_CONTROLLER_MAX_NUM: builtins.int
NVML_PERF_METRICS_CONTROLLER_STATUS_DLPPC_2X_DRAMCLK_NUM: builtins.int
NVML_PERF_METRICS_CONTROLLER_TYPE_DLPPC_2X: builtins.int
NVML_PERF_METRICS_CONTROLLER_TYPE_PFPP_1X: builtins.int
NVML_PERF_METRICS_NNE_DESC_INFERENCE_LOOPS_MAX: builtins.int
NVML_PERF_METRICS_PWR_MODEL_DLPPM_1X_MAX_CORE_RAILS: builtins.int
NVML_PERF_METRICS_PWR_MODEL_METRICS_DLPPM_1X_OBESRVED_INTIAL_DRAMCLK_ESTIMATES_MAX: builtins.int
NVML_PERF_METRICS_PWR_MODEL_SCALE_LOOPS_MAX_PFPP_1X: builtins.int
NVML_PERF_METRICS_PWR_MODEL_SCALE_METRICS_INPUT_MAX: builtins.int
NVML_PERF_METRICS_PWR_MODEL_SCALE_METRICS_PFPP_1X_GPCCLK_IDX: builtins.int
NVML_PERF_METRICS_SAMPLE_COUNT: builtins.int
NVML_PERF_MODES_BUFFER_SIZE: builtins.int
NVML_PERF_POLICY_BOARD_LIMIT: builtins.int
NVML_PERF_POLICY_COUNT: builtins.int
NVML_PERF_POLICY_LOW_UTILIZATION: builtins.int
NVML_PERF_POLICY_POWER: builtins.int
NVML_PERF_POLICY_RELIABILITY: builtins.int
NVML_PERF_POLICY_SYNC_BOOST: builtins.int
NVML_PERF_POLICY_THERMAL: builtins.int
NVML_PERF_POLICY_TOTAL_APP_CLOCKS: builtins.int
NVML_PERF_POLICY_TOTAL_BASE_CLOCKS: builtins.int
NVML_POWER_MIZER_MODE_ADAPTIVE: builtins.int
NVML_POWER_MIZER_MODE_AUTO: builtins.int
NVML_POWER_MIZER_MODE_PREFER_CONSISTENT_PERFORMANCE: builtins.int
NVML_POWER_MIZER_MODE_PREFER_MAXIMUM_PERFORMANCE: builtins.int
NVML_POWER_PROFILE_BALANCED: builtins.int
NVML_POWER_PROFILE_COMPUTE: builtins.int
NVML_POWER_PROFILE_DCPCIE: builtins.int
NVML_POWER_PROFILE_HIGH_THROUGHPUT_INFERENCE: builtins.int
NVML_POWER_PROFILE_HMMA_DENSE: builtins.int
NVML_POWER_PROFILE_HMMA_SPARSE: builtins.int
NVML_POWER_PROFILE_HPC: builtins.int
NVML_POWER_PROFILE_INFERENCE: builtins.int
NVML_POWER_PROFILE_LLM_INFERENCE: builtins.int
NVML_POWER_PROFILE_LLM_TRAINING: builtins.int
NVML_POWER_PROFILE_LOW_LATENCY_INFERENCE: builtins.int
NVML_POWER_PROFILE_LOW_PRIORITY_BACKGROUND: builtins.int
NVML_POWER_PROFILE_MAX: builtins.int
NVML_POWER_PROFILE_MAX_P: builtins.int
NVML_POWER_PROFILE_MAX_Q: builtins.int
NVML_POWER_PROFILE_MAX_Q_1: builtins.int
NVML_POWER_PROFILE_MAX_Q_2: builtins.int
NVML_POWER_PROFILE_MAX_Q_3: builtins.int
NVML_POWER_PROFILE_MEDIUM_THROUGHPUT_INFERENCE: builtins.int
NVML_POWER_PROFILE_MEMORY_BOUND: builtins.int
NVML_POWER_PROFILE_MIG: builtins.int
NVML_POWER_PROFILE_NETWORK: builtins.int
NVML_POWER_PROFILE_NETWORK_BOUND: builtins.int
NVML_POWER_PROFILE_OPERATION_CLEAR: builtins.int
NVML_POWER_PROFILE_OPERATION_MAX: builtins.int
NVML_POWER_PROFILE_OPERATION_SET: builtins.int
NVML_POWER_PROFILE_OPERATION_SET_AND_OVERWRITE: builtins.int
NVML_POWER_PROFILE_RBM: builtins.int
NVML_POWER_PROFILE_SYNC_BALANCED: builtins.int
NVML_POWER_PROFILE_TRAINING: builtins.int
NVML_POWER_SCOPE_COUNT: builtins.int
NVML_POWER_SCOPE_GPU: builtins.int
NVML_POWER_SCOPE_GPU_BASE: builtins.int
NVML_POWER_SCOPE_MEMORY: builtins.int
NVML_POWER_SCOPE_MODULE: builtins.int
NVML_POWER_SMOOTHING_ADMIN_OVERRIDE_NOT_SET: builtins.int
NVML_POWER_SMOOTHING_MAX_NUM_PROFILES: builtins.int
NVML_POWER_SMOOTHING_NUM_PROFILE_PARAMS: builtins.int
NVML_POWER_SMOOTHING_PROFILE_PARAM_PERCENT_TMP_FLOOR: builtins.int
NVML_POWER_SMOOTHING_PROFILE_PARAM_PRIMARY_FLOOR_ACT_OFFSET: builtins.int
NVML_POWER_SMOOTHING_PROFILE_PARAM_PRIMARY_FLOOR_ACT_WIN_MULT: builtins.int
NVML_POWER_SMOOTHING_PROFILE_PARAM_PRIMARY_FLOOR_TAR_WIN_MULT: builtins.int
NVML_POWER_SMOOTHING_PROFILE_PARAM_RAMP_DOWN_HYSTERESIS: builtins.int
NVML_POWER_SMOOTHING_PROFILE_PARAM_RAMP_DOWN_RATE: builtins.int
NVML_POWER_SMOOTHING_PROFILE_PARAM_RAMP_UP_RATE: builtins.int
NVML_POWER_SMOOTHING_PROFILE_PARAM_SECONDARY_POWER_FLOOR: builtins.int
NVML_POWER_SOURCE_AC: builtins.int
NVML_POWER_SOURCE_BATTERY: builtins.int
NVML_POWER_SOURCE_UNDERSIZED: builtins.int
NVML_PRM_COUNTER_ID_NONE: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_PHYSICAL_LAYER_CTRS_LINK_DOWN_EVENTS: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_PHYSICAL_LAYER_CTRS_SUCCESSFUL_RECOVERY_EVENTS: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_PLR_RCV_CODES: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_PLR_RCV_CODE_ERR: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_PLR_RCV_UNCORRECTABLE_CODE: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_PLR_SYNC_EVENTS: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_PLR_XMIT_CODES: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_PLR_XMIT_RETRY_CODES: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_PLR_XMIT_RETRY_EVENTS: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_PORTCOUNTERS_PORT_XMIT_WAIT: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_RECOVERY_CTRS_LAST_HOST_SERDES_FEQ_ATTEMPTS_COUNT: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_RECOVERY_CTRS_LAST_SUCCESSFUL_RECOVERY_STEP_ATTEMPTS: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_RECOVERY_CTRS_LAST_SUCCESSFUL_RECOVERY_TIME: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_RECOVERY_CTRS_TIME_BETWEEN_LAST_TWO_RECOVERIES: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_RECOVERY_CTRS_TIME_IN_LAST_HOST_SERDES_FEQ_RECOVERY: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_RECOVERY_CTRS_TIME_SINCE_LAST_RECOVERY: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_RECOVERY_CTRS_TOTAL_HOST_SERDES_FEQ_RECOVERY_COUNT: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_RECOVERY_CTRS_TOTAL_HOST_SERDES_FEQ_SUCCESSFUL_RECOVERY_COUNT: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_RECOVERY_CTRS_TOTAL_SUCCESSFUL_RECOVERY_EVENTS: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_RECOVERY_CTRS_TOTAL_SUCCESSFUL_RECOVERY_TIME: builtins.int
NVML_PRM_COUNTER_ID_PPCNT_RECOVERY_CTRS_TOTAL_TIME_IN_HOST_SERDES_FEQ_RECOVERY: builtins.int
NVML_PRM_COUNTER_ID_PPRM_OPER_RECOVERY: builtins.int
NVML_PRM_DATA_MAX_SIZE: builtins.int
NVML_PROCESSOR_CLK_SAMPLES: builtins.int
NVML_PROCESS_MODE_ALL: builtins.int
NVML_PROCESS_MODE_COMPUTE: builtins.int
NVML_PROCESS_MODE_GRAPHICS: builtins.int
NVML_PROCESS_MODE_MAX: builtins.int
NVML_PROCESS_MODE_MPS: builtins.int
NVML_PSTATE_0: builtins.int
NVML_PSTATE_1: builtins.int
NVML_PSTATE_10: builtins.int
NVML_PSTATE_11: builtins.int
NVML_PSTATE_12: builtins.int
NVML_PSTATE_13: builtins.int
NVML_PSTATE_14: builtins.int
NVML_PSTATE_15: builtins.int
NVML_PSTATE_2: builtins.int
NVML_PSTATE_3: builtins.int
NVML_PSTATE_4: builtins.int
NVML_PSTATE_5: builtins.int
NVML_PSTATE_6: builtins.int
NVML_PSTATE_7: builtins.int
NVML_PSTATE_8: builtins.int
NVML_PSTATE_9: builtins.int
NVML_PSTATE_UNKNOWN: builtins.int
NVML_RESTRICTED_API_COUNT: builtins.int
NVML_RESTRICTED_API_SET_APPLICATION_CLOCKS: builtins.int
NVML_RESTRICTED_API_SET_AUTO_BOOSTED_CLOCKS: builtins.int
NVML_RUSD_POLL_ALL: builtins.int
NVML_RUSD_POLL_CLOCK: builtins.int
NVML_RUSD_POLL_FAN: builtins.int
NVML_RUSD_POLL_MEMORY: builtins.int
NVML_RUSD_POLL_NONE: builtins.int
NVML_RUSD_POLL_PCI: builtins.int
NVML_RUSD_POLL_PERF: builtins.int
NVML_RUSD_POLL_POWER: builtins.int
NVML_RUSD_POLL_PROC_UTIL: builtins.int
NVML_RUSD_POLL_THERMAL: builtins.int
NVML_SAMPLINGTYPE_COUNT: builtins.int
NVML_SCHEDULER_SW_MAX_LOG_ENTRIES: builtins.int
NVML_SINGLE_BIT_ECC: builtins.int
NVML_SUCCESS: builtins.int
NVML_SUPPORTED_VGPU_SCHEDULER_POLICY_COUNT: builtins.int
NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE: builtins.int
NVML_SYSTEM_NVML_VERSION_BUFFER_SIZE: builtins.int
NVML_TEMPERATURE_COUNT: builtins.int
NVML_TEMPERATURE_GPU: builtins.int
NVML_TEMPERATURE_GPU_MAX: builtins.int
NVML_TEMPERATURE_THRESHOLD_ACOUSTIC_CURR: builtins.int
NVML_TEMPERATURE_THRESHOLD_ACOUSTIC_MAX: builtins.int
NVML_TEMPERATURE_THRESHOLD_ACOUSTIC_MIN: builtins.int
NVML_TEMPERATURE_THRESHOLD_COUNT: builtins.int
NVML_TEMPERATURE_THRESHOLD_GPS_CURR: builtins.int
NVML_TEMPERATURE_THRESHOLD_GPU_MAX: builtins.int
NVML_TEMPERATURE_THRESHOLD_MEM_MAX: builtins.int
NVML_TEMPERATURE_THRESHOLD_SHUTDOWN: builtins.int
NVML_TEMPERATURE_THRESHOLD_SLOWDOWN: builtins.int
NVML_THERMAL_CONTROLLER_ADM1032: builtins.int
NVML_THERMAL_CONTROLLER_ADT7461: builtins.int
NVML_THERMAL_CONTROLLER_ADT7473: builtins.int
NVML_THERMAL_CONTROLLER_ADT7473S: builtins.int
NVML_THERMAL_CONTROLLER_G781: builtins.int
NVML_THERMAL_CONTROLLER_GPU_INTERNAL: builtins.int
NVML_THERMAL_CONTROLLER_LM64: builtins.int
NVML_THERMAL_CONTROLLER_LM89: builtins.int
NVML_THERMAL_CONTROLLER_LM99: builtins.int
NVML_THERMAL_CONTROLLER_MAX1617: builtins.int
NVML_THERMAL_CONTROLLER_MAX6649: builtins.int
NVML_THERMAL_CONTROLLER_MAX6649R: builtins.int
NVML_THERMAL_CONTROLLER_NONE: builtins.int
NVML_THERMAL_CONTROLLER_NVSYSCON_CANOAS: builtins.int
NVML_THERMAL_CONTROLLER_NVSYSCON_E551: builtins.int
NVML_THERMAL_CONTROLLER_OS: builtins.int
NVML_THERMAL_CONTROLLER_SBMAX6649: builtins.int
NVML_THERMAL_CONTROLLER_UNKNOWN: builtins.int
NVML_THERMAL_CONTROLLER_VBIOSEVT: builtins.int
NVML_THERMAL_COOLER_SIGNAL_COUNT: builtins.int
NVML_THERMAL_COOLER_SIGNAL_NONE: builtins.int
NVML_THERMAL_COOLER_SIGNAL_TOGGLE: builtins.int
NVML_THERMAL_COOLER_SIGNAL_VARIABLE: builtins.int
NVML_THERMAL_COOLER_TARGET_GPU: builtins.int
NVML_THERMAL_COOLER_TARGET_GPU_RELATED: builtins.int
NVML_THERMAL_COOLER_TARGET_MEMORY: builtins.int
NVML_THERMAL_COOLER_TARGET_NONE: builtins.int
NVML_THERMAL_COOLER_TARGET_POWER_SUPPLY: builtins.int
NVML_THERMAL_TARGET_ALL: builtins.int
NVML_THERMAL_TARGET_BOARD: builtins.int
NVML_THERMAL_TARGET_GPU: builtins.int
NVML_THERMAL_TARGET_MEMORY: builtins.int
NVML_THERMAL_TARGET_NONE: builtins.int
NVML_THERMAL_TARGET_POWER_SUPPLY: builtins.int
NVML_THERMAL_TARGET_UNKNOWN: builtins.int
NVML_THERMAL_TARGET_VCD_BOARD: builtins.int
NVML_THERMAL_TARGET_VCD_INLET: builtins.int
NVML_THERMAL_TARGET_VCD_OUTLET: builtins.int
NVML_TOPOLOGY_CPU: builtins.int
NVML_TOPOLOGY_HOSTBRIDGE: builtins.int
NVML_TOPOLOGY_INTERNAL: builtins.int
NVML_TOPOLOGY_MULTIPLE: builtins.int
NVML_TOPOLOGY_NODE: builtins.int
NVML_TOPOLOGY_SINGLE: builtins.int
NVML_TOPOLOGY_SYSTEM: builtins.int
NVML_TOTAL_POWER_SAMPLES: builtins.int
NVML_UUID_TYPE_ASCII: builtins.int
NVML_UUID_TYPE_BINARY: builtins.int
NVML_UUID_TYPE_NONE: builtins.int
NVML_VALUE_TYPE_COUNT: builtins.int
NVML_VALUE_TYPE_DOUBLE: builtins.int
NVML_VALUE_TYPE_SIGNED_INT: builtins.int
NVML_VALUE_TYPE_SIGNED_LONG_LONG: builtins.int
NVML_VALUE_TYPE_UNSIGNED_INT: builtins.int
NVML_VALUE_TYPE_UNSIGNED_LONG: builtins.int
NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: builtins.int
NVML_VALUE_TYPE_UNSIGNED_SHORT: builtins.int
NVML_VGPU_CAP_COUNT: builtins.int
NVML_VGPU_CAP_EXCLUSIVE_SIZE: builtins.int
NVML_VGPU_CAP_EXCLUSIVE_TYPE: builtins.int
NVML_VGPU_CAP_GPUDIRECT: builtins.int
NVML_VGPU_CAP_MULTI_VGPU_EXCLUSIVE: builtins.int
NVML_VGPU_CAP_NVLINK_P2P: builtins.int
NVML_VGPU_COMPATIBILITY_LIMIT_GPU: builtins.int
NVML_VGPU_COMPATIBILITY_LIMIT_GUEST_DRIVER: builtins.int
NVML_VGPU_COMPATIBILITY_LIMIT_HOST_DRIVER: builtins.int
NVML_VGPU_COMPATIBILITY_LIMIT_NONE: builtins.int
NVML_VGPU_COMPATIBILITY_LIMIT_OTHER: builtins.int
NVML_VGPU_DRIVER_CAP_COUNT: builtins.int
NVML_VGPU_DRIVER_CAP_HETEROGENEOUS_MULTI_VGPU: builtins.int
NVML_VGPU_DRIVER_CAP_WARM_UPDATE: builtins.int
NVML_VGPU_INSTANCE_GUEST_INFO_STATE_INITIALIZED: builtins.int
NVML_VGPU_INSTANCE_GUEST_INFO_STATE_UNINITIALIZED: builtins.int
NVML_VGPU_METADATA_OPAQUE_DATA_SIZE: builtins.int
NVML_VGPU_NAME_BUFFER_SIZE: builtins.int
NVML_VGPU_PGPU_HETEROGENEOUS_MODE: builtins.int
NVML_VGPU_PGPU_HOMOGENEOUS_MODE: builtins.int
NVML_VGPU_PGPU_METADATA_OPAQUE_DATA_SIZE: builtins.int
NVML_VGPU_SCHEDULER_ARR_DEFAULT: builtins.int
NVML_VGPU_SCHEDULER_ARR_DISABLE: builtins.int
NVML_VGPU_SCHEDULER_ARR_ENABLE: builtins.int
NVML_VGPU_SCHEDULER_ENGINE_TYPE_GRAPHICS: builtins.int
NVML_VGPU_SCHEDULER_ENGINE_TYPE_NVENC0: builtins.int
NVML_VGPU_SCHEDULER_ENGINE_TYPE_NVENC1: builtins.int
NVML_VGPU_SCHEDULER_POLICY_BEST_EFFORT: builtins.int
NVML_VGPU_SCHEDULER_POLICY_EQUAL_SHARE: builtins.int
NVML_VGPU_SCHEDULER_POLICY_FIXED_SHARE: builtins.int
NVML_VGPU_SCHEDULER_POLICY_UNKNOWN: builtins.int
NVML_VGPU_VM_COMPATIBILITY_COLD: builtins.int
NVML_VGPU_VM_COMPATIBILITY_HIBERNATE: builtins.int
NVML_VGPU_VM_COMPATIBILITY_LIVE: builtins.int
NVML_VGPU_VM_COMPATIBILITY_NONE: builtins.int
NVML_VGPU_VM_COMPATIBILITY_SLEEP: builtins.int
NVML_VGPU_VM_ID_DOMAIN_ID: builtins.int
NVML_VGPU_VM_ID_UUID: builtins.int
NVML_VOLATILE_ECC: builtins.int
NVML_WORKLOAD_POWER_MAX_PROFILES: builtins.int
ProcessesUtilizationInfo_v1: builtins.int
RTLD_GLOBAL: builtins.int
RTLD_LOCAL: builtins.int
SystemDriverBranchInfo_v1: builtins.int
VgpuHeterogeneousMode_v1: builtins.int
VgpuInstancesUtilizationInfo_v1: builtins.int
VgpuPlacementId_v1: builtins.int
VgpuPlacementList_v1: builtins.int
VgpuPlacementList_v2: builtins.int
VgpuProcessesUtilizationInfo_v1: builtins.int
VgpuRuntimeState_v1: builtins.int
VgpuTypeBar1Info_v1: builtins.int
libLoadLock: builtins.object
nvmlActiveVgpuInstanceInfo_v1: builtins.int
nvmlC2cModeInfo_v1: builtins.int
nvmlClockOffset_v1: builtins.int
nvmlClocksEventReasonAll: builtins.int
nvmlClocksEventReasonApplicationsClocksSetting: builtins.int
nvmlClocksEventReasonDisplayClockSetting: builtins.int
nvmlClocksEventReasonGpuIdle: builtins.int
nvmlClocksEventReasonHwPowerBrakeSlowdown: builtins.int
nvmlClocksEventReasonHwSlowdown: builtins.int
nvmlClocksEventReasonHwThermalSlowdown: builtins.int
nvmlClocksEventReasonNone: builtins.int
nvmlClocksEventReasonSwPowerCap: builtins.int
nvmlClocksEventReasonSwThermalSlowdown: builtins.int
nvmlClocksEventReasonSyncBoost: builtins.int
nvmlClocksEventReasonUserDefinedClocks: builtins.int
nvmlClocksThrottleReasonAll: builtins.int
nvmlClocksThrottleReasonApplicationsClocksSetting: builtins.int
nvmlClocksThrottleReasonBoardLimit: builtins.int
nvmlClocksThrottleReasonDisplayClockSetting: builtins.int
nvmlClocksThrottleReasonGpuIdle: builtins.int
nvmlClocksThrottleReasonHwPowerBrakeSlowdown: builtins.int
nvmlClocksThrottleReasonHwSlowdown: builtins.int
nvmlClocksThrottleReasonHwThermalSlowdown: builtins.int
nvmlClocksThrottleReasonNone: builtins.int
nvmlClocksThrottleReasonReliability: builtins.int
nvmlClocksThrottleReasonSwPowerCap: builtins.int
nvmlClocksThrottleReasonSwThermalSlowdown: builtins.int
nvmlClocksThrottleReasonSyncBoost: builtins.int
nvmlClocksThrottleReasonUserDefinedClocks: builtins.int
nvmlComputeInstanceProfileInfo_v2: builtins.int
nvmlCoolerInfo_v1: builtins.int
nvmlDeviceAddressingMode_v1: builtins.int
nvmlDeviceCapabilities_v1: builtins.int
nvmlDeviceCurrentClockFreqs_v1: builtins.int
nvmlDevicePerfModes_v1: builtins.int
nvmlDramEncryptionInfo_v1: builtins.int
nvmlEccSramErrorStatus_v1: builtins.int
nvmlEccSramUniqueUncorrectedErrorCounts_v1: builtins.int
nvmlEventMigConfigChange: builtins.int
nvmlEventTypeAll: builtins.int
nvmlEventTypeClock: builtins.int
nvmlEventTypeDoubleBitEccError: builtins.int
nvmlEventTypeDramRetirementEvent: builtins.int
nvmlEventTypeDramRetirementFailure: builtins.int
nvmlEventTypeFatalPoisonError: builtins.int
nvmlEventTypeGpuRecoveryAction: builtins.int
nvmlEventTypeGpuUnavailableError: builtins.int
nvmlEventTypeNonFatalPoisonError: builtins.int
nvmlEventTypeNone: builtins.int
nvmlEventTypePState: builtins.int
nvmlEventTypePowerSourceChange: builtins.int
nvmlEventTypeSingleBitEccError: builtins.int
nvmlEventTypeSingleBitEccErrorStorm: builtins.int
nvmlEventTypeXidCriticalError: builtins.int
nvmlFanSpeedInfo_v1: builtins.int
nvmlFlagDefault: builtins.int
nvmlFlagForce: builtins.int
nvmlGpuFabricInfo_v2: builtins.int
nvmlGpuFabricInfo_v3: builtins.int
nvmlGpuInstanceProfileInfo_v2: builtins.int
nvmlLib: builtins.object
nvmlMarginTemperature_v1: builtins.int
nvmlMemory_v2: builtins.int
nvmlNvLinkInfo_v1: builtins.int
nvmlNvLinkInfo_v2: builtins.int
nvmlNvlinkGetBwMode_v1: builtins.int
nvmlNvlinkSetBwMode_v1: builtins.int
nvmlNvlinkSupportedBwModes_v1: builtins.int
nvmlPciInfoExt_v1: builtins.int
nvmlPdi_v1: builtins.int
nvmlPerfMetricsSamples_v1: builtins.int
nvmlPlatformInfo_v1: builtins.int
nvmlPlatformInfo_v2: builtins.int
nvmlPowerSmoothingProfile_v1: builtins.int
nvmlPowerSmoothingState_v1: builtins.int
nvmlPowerValue_v2: builtins.int
nvmlProcessDetailList_v1: builtins.int
nvmlRepairStatus_v1: builtins.int
nvmlRusdSettings_v1: builtins.int
nvmlSystemConfComputeSettings_v1: builtins.int
nvmlSystemEventSetCreateRequest_v1: builtins.int
nvmlSystemEventSetFreeRequest_v1: builtins.int
nvmlSystemEventSetWaitRequest_v1: builtins.int
nvmlSystemEventTypeCount: builtins.int
nvmlSystemEventTypeGpuDriverBind: builtins.int
nvmlSystemEventTypeGpuDriverUnbind: builtins.int
nvmlSystemRegisterEventRequest_v1: builtins.int
nvmlTemperature_v1: builtins.int
nvmlUUID_v1: builtins.int
nvmlUnrepairableMemory_v1: builtins.int
nvmlVgpuCreatablePlacementInfo_v1: builtins.int
nvmlVgpuSchedulerLogInfo_v1: builtins.int
nvmlVgpuSchedulerStateInfo_v1: builtins.int
nvmlVgpuSchedulerState_v1: builtins.int
nvmlVgpuTypeIdInfo_v1: builtins.int
nvmlVgpuTypeMaxInstance_v1: builtins.int
nvmlWorkloadPowerProfileCurrentProfiles_v1: builtins.int
nvmlWorkloadPowerProfileInfo_v1: builtins.int
nvmlWorkloadPowerProfileProfilesInfo_v1: builtins.int
nvmlWorkloadPowerProfileRequestedProfiles_v1: builtins.int
nvmlWorkloadPowerProfileUpdateProfiles_v1: builtins.int
